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

	"github.com/stscredential/sts-credential-operator/internal/sts"
)

func TestNothingPrintsAKey(t *testing.T) {
	keys := sts.Keys{AccessKeyID: "hushID", AccessKeySecret: "hushSecret", SecurityToken: "hushToken"}
	session := sts.Session{AccessKeyID: "hushID", AccessKeySecret: "hushSecret", SecurityToken: "hushToken"}
	token := sts.OIDCInput{ProviderARN: "p", Token: "hushToken", AssumeRoleInput: sts.AssumeRoleInput{ExternalID: "hush"}}
	for name, value := range map[string]any{
		"OIDCInput": token, "*OIDCInput": &token, "a token in a struct": struct{ In sts.OIDCInput }{token},
		"Keys": keys, "*Keys": &keys, "Session": session, "*Session": &session,
		"in a struct": struct{ K sts.Keys }{keys}, "in a slice": []sts.Session{session}, "in a map": map[string]sts.Keys{"k": keys},
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
