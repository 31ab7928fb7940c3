// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package rampolicy_test

import (
	"strings"
	"testing"

	"github.com/stscredential/sts-credential-operator/internal/rampolicy"
)

func TestCompact(t *testing.T) {
	const statement = `{"Effect":"Allow","Action":"oss:Get*","Resource":"*"}`
	long := func(n int) string {
		return `{"Version":"1","Statement":[{"Effect":"Allow","Action":"oss:Get*","Resource":"` + strings.Repeat("é", n) + `"}]}`
	}
	overhead := len(long(0))
	for _, tt := range []struct {
		name, given, want, refusal string
	}{
		{name: "sorted and compacted", given: "{ \"Version\": \"1\",\n \"Statement\": [" + statement + "]}",
			want: `{"Statement":[{"Action":"oss:Get*","Effect":"Allow","Resource":"*"}],"Version":"1"}`},
		{name: "lists, Deny, NotAction, NotResource", given: `{"Version":"1","Statement":[{"Effect":"Deny","NotAction":["a","b"],"NotResource":["c"]}]}`,
			want: `{"Statement":[{"Effect":"Deny","NotAction":["a","b"],"NotResource":["c"]}],"Version":"1"}`},
		{name: "conditions of every kind", given: `{"Version":"1","Statement":[{"Effect":"Allow","Action":"a","Resource":"*","Condition":{"IpAddress":{"acs:SourceIp":["10.0.0.0/8"]},"Bool":{"acs:SecureTransport":"true"},"NumericEquals":{"n":"1.50"}}}]}`,
			want: `{"Statement":[{"Action":"a","Condition":{"Bool":{"acs:SecureTransport":"true"},"IpAddress":{"acs:SourceIp":["10.0.0.0/8"]},"NumericEquals":{"n":"1.50"}},"Effect":"Allow","Resource":"*"}],"Version":"1"}`},
		{name: "an empty condition, as the Tablestore guide has it", given: `{"Version":"1","Statement":[{"Effect":"Allow","Action":"ots:*","Resource":"*","Condition":{}}]}`,
			want: `{"Statement":[{"Action":"ots:*","Condition":{},"Effect":"Allow","Resource":"*"}],"Version":"1"}`},
		{name: "nothing is escaped", given: `{"Version":"1","Statement":[{"Effect":"Allow","Action":"a","Resource":"<&>"}]}`,
			want: `{"Statement":[{"Action":"a","Effect":"Allow","Resource":"<&>"}],"Version":"1"}`},
		{name: "2048 characters", given: long(2048 - overhead), want: `{"Statement":[{"Action":"oss:Get*","Effect":"Allow","Resource":"` + strings.Repeat("é", 2048-overhead) + `"}],"Version":"1"}`},
		{name: "2049 characters", given: long(2049 - overhead), refusal: "2049 characters long"},
		{name: "no object", given: `[]`, refusal: "one object"},
		{name: "two objects", given: `{} {}`, refusal: "one object"},
		{name: "no JSON", given: `{`, refusal: "one object"},
		{name: "unknown element", given: `{"Version":"1","Statement":[` + statement + `],"Id":"x"}`, refusal: `unknown element "Id"`},
		{name: "lower case", given: `{"version":"1","Statement":[` + statement + `]}`, refusal: `unknown element "version"`},
		{name: "version as a number", given: `{"Version":1,"Statement":[` + statement + `]}`, refusal: `Version must be "1"`},
		{name: "no statement", given: `{"Version":"1"}`, refusal: "Statement must be a list"},
		{name: "empty statements", given: `{"Version":"1","Statement":[]}`, refusal: "at least one"},
		{name: "a statement that is no object", given: `{"Version":"1","Statement":["x"]}`, refusal: "Statement[0] must be an object"},
		{name: "misspelled element", given: `{"Version":"1","Statement":[{"Effect":"Allow","Actions":"a","Resource":"*"}]}`, refusal: `Statement[0] has an unknown element "Actions"`},
		{name: "principal", given: `{"Version":"1","Statement":[{"Effect":"Allow","Action":"a","Resource":"*","Principal":{}}]}`, refusal: "trust policy"},
		{name: "bad effect", given: `{"Version":"1","Statement":[{"Effect":"allow","Action":"a","Resource":"*"}]}`, refusal: "Effect must be Allow or Deny"},
		{name: "no action", given: `{"Version":"1","Statement":[` + statement + `,{"Effect":"Allow","Resource":"*"}]}`, refusal: "Statement[1] needs exactly one of Action and NotAction"},
		{name: "both resources", given: `{"Version":"1","Statement":[{"Effect":"Allow","Action":"a","Resource":"*","NotResource":"*"}]}`, refusal: "exactly one of Resource and NotResource"},
		{name: "empty list", given: `{"Version":"1","Statement":[{"Effect":"Allow","Action":[],"Resource":"*"}]}`, refusal: "Statement[0].Action must be"},
		{name: "a number as action", given: `{"Version":"1","Statement":[{"Effect":"Allow","Action":[1],"Resource":"*"}]}`, refusal: `Statement[0].Action[0] must be a string: write "1"`},
		{name: "condition that is no object", given: `{"Version":"1","Statement":[{"Effect":"Allow","Action":"a","Resource":"*","Condition":[]}]}`, refusal: "Condition must be an object"},
		{name: "operator without keys", given: `{"Version":"1","Statement":[{"Effect":"Allow","Action":"a","Resource":"*","Condition":{"Bool":true}}]}`, refusal: "Condition.Bool must be an object"},
		{name: "condition value that is an object", given: `{"Version":"1","Statement":[{"Effect":"Allow","Action":"a","Resource":"*","Condition":{"Bool":{"k":{}}}}]}`, refusal: "Condition.Bool.k must be"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := rampolicy.Compact([]byte(tt.given))
			if tt.refusal == "" && (err != nil || got != tt.want) {
				t.Errorf("Compact = %s, %v, want %s", got, err, tt.want)
			}
			if tt.refusal != "" && (err == nil || !strings.Contains(err.Error(), tt.refusal)) {
				t.Errorf("Compact = %s, %v, want a refusal with %q", got, err, tt.refusal)
			}
		})
	}
}
