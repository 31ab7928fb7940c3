// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package sts_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/go-logr/logr/funcr"

	"github.com/stscredential/sts-credential-operator/internal/credentials"
	"github.com/stscredential/sts-credential-operator/internal/sts"
)

func TestCredentialsPrintAsRedacted(t *testing.T) {
	c := credentials.Credentials{AccessKeyID: "hushID", AccessKeySecret: "hushSecret", SecurityToken: "hushToken"}
	token := sts.OIDCRequest{ProviderARN: "p", Token: "hushToken", Request: credentials.Request{ExternalID: "hush"}}
	for name, value := range map[string]any{
		"OIDCRequest": token, "*OIDCRequest": &token, "a token in a struct": struct{ In sts.OIDCRequest }{token},
		"Credentials": c, "*Credentials": &c, "in a struct": struct{ C credentials.Credentials }{c},
		"in a slice": []credentials.Credentials{c}, "in a map": map[string]credentials.Credentials{"c": c},
	} {
		t.Run(name, func(t *testing.T) {
			for printer, text := range printed(t, value) {
				if strings.Contains(text, "hush") || !strings.Contains(text, "redacted") {
					t.Errorf("%s prints %s", printer, text)
				}
			}
		})
	}
}

func printed(t *testing.T, value any) map[string]string {
	t.Helper()
	texts := map[string]string{}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		texts[verb] = fmt.Sprintf(verb, value)
	}
	body, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	texts["json"] = string(body)

	var out bytes.Buffer
	slog.New(slog.NewTextHandler(&out, nil)).Info("m", "value", value)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("m", "value", value)
	texts["slog"] = out.String()
	funcr.New(func(_, args string) { texts["logr"] = args }, funcr.Options{}).Info("m", "value", value)
	return texts
}
