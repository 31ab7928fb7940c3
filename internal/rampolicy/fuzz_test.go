// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package rampolicy_test

import (
	"bytes"
	"encoding/json"
	"reflect"
	"testing"
	"unicode/utf8"

	"github.com/stscredential/sts-credential-operator/internal/rampolicy"
)

// FuzzPolicy: what is taken says what was given, within STS's length, and is taken again as it is.
func FuzzPolicy(f *testing.F) {
	for _, seed := range []string{
		`{"Version":"1","Statement":[{"Effect":"Allow","Action":"oss:Get*","Resource":"*"}]}`,
		"{\"Version\": \"1\",\n \"Statement\": [{\"Effect\": \"Deny\", \"NotAction\": [\"a\", \"b\"], \"NotResource\": [\"<é>\"], \"Condition\": {\"Bool\": {\"k\": [true, 1e400, \"x\"]}}}]}",
		`{"Version":"1","Statement":[]}`, `{"Version":1}`, `[]`, `null`, `{} {}`, `{"Version":"1","Statement":[{"Effect":"Allow","Principal":{}}]}`,
		`{"Version":"1","Version":"2","Statement":[{"Effect":"Allow","Action":"*","Resource":"\ud800"}]}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		compact, err := rampolicy.Compact(raw)
		if err != nil {
			if len(err.Error()) > 600 {
				t.Errorf("an error of %d bytes", len(err.Error()))
			}
			return
		}
		if n := utf8.RuneCountInString(compact); n > 2048 {
			t.Errorf("%d characters", n)
		}
		if !reflect.DeepEqual(decoded(t, raw), decoded(t, []byte(compact))) {
			t.Errorf("%s became %s", raw, compact)
		}
		if again, err := rampolicy.Compact([]byte(compact)); err != nil || again != compact {
			t.Errorf("%s became %s, %v", compact, again, err)
		}
	})
}

// decoded is the first value of a JSON text, its numbers as they are written.
func decoded(t *testing.T, raw []byte) (value any) {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	if err := decoder.Decode(&value); err != nil {
		t.Fatal(err)
	}
	return value
}
