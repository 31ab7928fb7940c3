// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package credentials_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stscredential/sts-credential-operator/internal/credentials"
)

func TestRedacted(t *testing.T) {
	c := credentials.Credentials{AccessKeyID: "hush", AccessKeySecret: "hush", SecurityToken: "hush"}
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	for i, got := range []string{
		fmt.Sprintf("%v", c), fmt.Sprintf("%#v", c), strings.Trim(string(text), `"`), c.LogValue().String(), fmt.Sprint(c.MarshalLog()),
	} {
		if got != "redacted" {
			t.Errorf("printer %d prints %s", i, got)
		}
	}
}

func TestWellFormed(t *testing.T) {
	for _, tt := range []struct {
		name  string
		given credentials.Credentials
		want  bool
	}{
		{"an AccessKey", credentials.Credentials{AccessKeyID: "id", AccessKeySecret: "secret"}, true},
		{"temporary credentials", credentials.Credentials{AccessKeyID: "id", AccessKeySecret: "secret", SecurityToken: "token"}, true},
		{"nothing", credentials.Credentials{}, false},
		{"no ID", credentials.Credentials{AccessKeySecret: "secret"}, false},
		{"no secret", credentials.Credentials{AccessKeyID: "id"}, false},
		{"a line break", credentials.Credentials{AccessKeyID: "id", AccessKeySecret: "secret\n"}, false},
		{"a character that is not ASCII", credentials.Credentials{AccessKeyID: "id", AccessKeySecret: "secret", SecurityToken: "tökén"}, false},
	} {
		if got := tt.given.WellFormed(); got != tt.want {
			t.Errorf("%s: %t, want %t", tt.name, got, tt.want)
		}
	}
}
