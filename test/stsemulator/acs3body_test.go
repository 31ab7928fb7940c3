// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stsemulator_test

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
	"testing"

	openapiutil "github.com/alibabacloud-go/darabonba-openapi/v2/utils"
	"github.com/alibabacloud-go/tea/dara"
)

// TestACS3WithABody signs, as other SDKs do, a call whose parameters stand in a form; the payload's sum covers them.
func TestACS3WithABody(t *testing.T) {
	h := newHarness(t)
	const form = "application/x-www-form-urlencoded"
	body := assume(params{"DurationSeconds": "900"}).values().Encode()
	sum := sha256.Sum256([]byte(body))
	payload := hex.EncodeToString(sum[:])
	headers := map[string]*string{
		"host":                  dara.String(strings.TrimPrefix(h.server.URL, "http://")),
		"content-type":          dara.String(form),
		"x-acs-action":          dara.String("AssumeRole"),
		"x-acs-version":         dara.String("2015-04-01"),
		"x-acs-date":            dara.String(h.clock.Now().Format(stamp)),
		"x-acs-signature-nonce": dara.String("n1"),
		"x-acs-content-sha256":  dara.String(payload),
	}
	authorization := openapiutil.GetAuthorization(
		&dara.Request{Method: dara.String(http.MethodPost), Pathname: dara.String("/"), Headers: headers},
		dara.String("ACS3-HMAC-SHA256"), dara.String(payload), dara.String(h.key.ID), dara.String(h.key.Secret))
	send := func(body string) answer {
		request := newRequest(t, h.server.URL, body)
		for name, value := range headers {
			request.Header.Set(name, *value)
		}
		request.Header.Set("Authorization", *authorization)
		return h.send(t, request)
	}
	send(strings.Replace(body, "=900", "=901", 1)).expect(t, http.StatusBadRequest, "SignatureDoesNotMatch")
	send(body).expect(t, http.StatusOK, "")
	if calls := h.Calls(); calls[1].DurationSeconds != 900 {
		t.Errorf("recorded %+v", calls)
	}
}
