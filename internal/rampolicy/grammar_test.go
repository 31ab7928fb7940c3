// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package rampolicy_test

import (
	"context"
	"errors"
	"net/http/httptest"
	"strings"
	"testing"

	"k8s.io/utils/clock"

	"github.com/stscredential/sts-credential-operator/internal/credentials"
	"github.com/stscredential/sts-credential-operator/internal/rampolicy"
	"github.com/stscredential/sts-credential-operator/internal/sts"
	"github.com/stscredential/sts-credential-operator/test/stsemulator"
)

// TestPoliciesAreJudgedByRAMsGrammar holds the operator's check against the emulator's, which was written apart from it, on
// each production of RAM's grammar. What the operator refuses names the place and what to write; what it takes, STS takes.
func TestPoliciesAreJudgedByRAMsGrammar(t *testing.T) {
	conditions := func(condition string) string {
		return `{"Version":"1","Statement":[{"Effect":"Allow","Action":"oss:*","Resource":"*","Condition":` + condition + `}]}`
	}
	for _, c := range []struct {
		name, policy, refusal string
	}{
		{"a single value for a list", conditions(`{"StringEquals":{"oss:Prefix":"a"}}`), ""},
		{"a list", conditions(`{"StringLike":{"oss:Prefix":["a*","b?"]},"IpAddress":{"acs:SourceIp":["10.0.0.0/8"]}}`), ""},
		{"an empty string", conditions(`{"StringEquals":{"oss:Delimiter":""}}`), ""},
		{"numbers and truth values in quotes", conditions(`{"Bool":{"acs:SecureTransport":"true"},"NumericLessThanEquals":{"n:m":["1.50"]}}`), ""},
		{"no condition at all", conditions(`{}`), ""},
		{"every operator of strings", conditions(`{"StringEquals":{"a:b":"c"},"StringNotEquals":{"a:b":"c"},"StringEqualsIgnoreCase":{"a:b":"c"},"StringNotEqualsIgnoreCase":{"a:b":"c"},"StringLike":{"a:b":"c"},"StringNotLike":{"a:b":"c"}}`), ""},
		{"every operator of numbers", conditions(`{"NumericEquals":{"a:b":"1"},"NumericNotEquals":{"a:b":"1"},"NumericLessThan":{"a:b":"1"},"NumericLessThanEquals":{"a:b":"1"},"NumericGreaterThan":{"a:b":"1"},"NumericGreaterThanEquals":{"a:b":"1"}}`), ""},
		{"every operator of times", conditions(`{"DateEquals":{"a:b":"c"},"DateNotEquals":{"a:b":"c"},"DateLessThan":{"a:b":"c"},"DateLessThanEquals":{"a:b":"c"},"DateGreaterThan":{"a:b":"c"},"DateGreaterThanEquals":{"a:b":"c"}}`), ""},
		{"the other operators", conditions(`{"Bool":{"a:b":"false"},"IpAddress":{"a:b":"10.0.0.1"},"NotIpAddress":{"a:b":"10.0.0.1"}}`), ""},

		{"a truth value", conditions(`{"Bool":{"acs:SecureTransport":true}}`), `Statement[0].Condition.Bool.acs:SecureTransport must be a string: write "true"`},
		{"a truth value in a list", conditions(`{"Bool":{"acs:MFAPresent":[false]}}`), `Statement[0].Condition.Bool.acs:MFAPresent[0] must be a string: write "false"`},
		{"a number", conditions(`{"NumericEquals":{"n:m":1.50}}`), `Statement[0].Condition.NumericEquals.n:m must be a string: write "1.50"`},
		{"a number in a list", conditions(`{"NumericEquals":{"n:m":["1",2]}}`), `Statement[0].Condition.NumericEquals.n:m[1] must be a string: write "2"`},
		{"a time that YAML made a number of", conditions(`{"DateLessThan":{"acs:CurrentTime":20260301}}`), `write "20260301"`},
		{"null", conditions(`{"Bool":{"acs:SecureTransport":null}}`), "Condition.Bool.acs:SecureTransport must be a string or a list of strings"},
		{"an object for a value", conditions(`{"Bool":{"acs:SecureTransport":{}}}`), "must be a string or a list of strings"},
		{"a list in a list", conditions(`{"StringEquals":{"a:b":[["c"]]}}`), "StringEquals.a:b[0] must be a string"},
		{"an empty list", conditions(`{"StringEquals":{"a:b":[]}}`), "StringEquals.a:b must be a string or a list of at least one string"},
		{"several truth values", conditions(`{"Bool":{"acs:SecureTransport":["true","false"]}}`), "acs:SecureTransport must have one value"},
		{"an operator without keys", conditions(`{"StringEquals":{}}`), "Condition.StringEquals must be an object of at least one condition key"},
		{"an operator in lower case", conditions(`{"stringEquals":{"a:b":"c"}}`), "case-sensitive: write StringEquals"},
		{"an operator in other case", conditions(`{"IPAddress":{"acs:SourceIp":"10.0.0.1"}}`), "case-sensitive: write IpAddress"},
		{"a condition that is a list", conditions(`[]`), "Statement[0].Condition must be an object"},
		{"a condition that is null", conditions(`null`), "Statement[0].Condition must be an object"},
		{"a statement that is no list", `{"Version":"1","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`, "Statement must be a list"},
		{"an action that is a number", `{"Version":"1","Statement":[{"Effect":"Allow","Action":["oss:*",1],"Resource":"*"}]}`, `Statement[0].Action[1] must be a string: write "1"`},
		{"a resource that is a truth value", `{"Version":"1","Statement":[{"Effect":"Allow","Action":"*","NotResource":true}]}`, `Statement[0].NotResource must be a string: write "true"`},
		{"an empty action", `{"Version":"1","Statement":[{"Effect":"Allow","Action":["oss:*",""],"Resource":"*"}]}`, "Statement[0].Action must not hold an empty string"},
		{"no resource", `{"Version":"1","Statement":[{"Effect":"Allow","Action":"*","Resource":[]}]}`, "Statement[0].Resource must be a string or a list of at least one string"},
		{"a version that is a number", `{"Version":1,"Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`, `Version must be "1", in quotes`},
		{"an effect that is a truth value", `{"Version":"1","Statement":[{"Effect":true,"Action":"*","Resource":"*"}]}`, "Statement[0]: Effect must be Allow or Deny"},
	} {
		t.Run(c.name, func(t *testing.T) {
			compact, err := rampolicy.Compact([]byte(c.policy))
			if c.refusal == "" && err != nil || c.refusal != "" && (err == nil || !strings.Contains(err.Error(), c.refusal)) {
				t.Errorf("the operator says %v, want %q", err, c.refusal)
			}
			if err != nil {
				compact = c.policy
			}
			if refused := refusedBySTS(t, compact); refused != (c.refusal != "") {
				t.Errorf("STS refuses it: %t, want %t", refused, c.refusal != "")
			}
		})
	}
}

// An operator that RAM has added since is for STS to judge.
func TestOperatorsThatAreNotDocumentedAreLeftToSTS(t *testing.T) {
	const policy = `{"Version":"1","Statement":[{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"ForAnyValue:StringLike":{"a:b":"c"}}}]}`
	if _, err := rampolicy.Compact([]byte(policy)); err != nil {
		t.Error(err)
	}
	if !refusedBySTS(t, policy) {
		t.Error("STS accepts it")
	}
}

// refusedBySTS reports whether an emulated STS refuses to assume a role with this session policy.
func refusedBySTS(t *testing.T, policy string) bool {
	t.Helper()
	const account = "1234567890123456"
	const roleARN = "acs:ram::" + account + ":role/orders-reader"
	emulator := stsemulator.New(stsemulator.Options{Clock: clock.RealClock{}})
	emulator.AddRole(stsemulator.Role{ARN: roleARN, Trust: []stsemulator.Statement{{RAM: []string{"acs:ram::" + account + ":user/operator"}}}})
	key := emulator.AddUser(account, "operator")
	server := httptest.NewServer(emulator)
	t.Cleanup(server.Close)
	client, err := sts.New(sts.Options{Endpoint: server.URL, Clock: clock.RealClock{}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = client.AssumeRole(context.Background(), credentials.Credentials{AccessKeyID: key.ID, AccessKeySecret: key.Secret},
		credentials.Request{RoleARN: roleARN, SessionName: "shop.orders-reader", Policy: policy})
	var failed *sts.Error
	if err != nil && (!errors.As(err, &failed) || failed.Code != "InvalidParameter.PolicyGrammar") {
		t.Fatal(err)
	}
	return err != nil
}
