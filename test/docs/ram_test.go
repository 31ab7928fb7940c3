// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/stscredential/sts-credential-operator/internal/rampolicy"
	"github.com/stscredential/sts-credential-operator/test/stsemulator"
)

// What the docs name, in the emulated RAM.
const (
	accountID = "1234567890123456"
	account   = "acs:ram::" + accountID + ":"
	provider  = account + "oidc-provider/ack-rrsa-c1"
	issuer    = "https://kubernetes.default.svc" // of hack/controlplane

	tenantAccount = "9876543210987654"
	tenantARN     = "acs:ram::" + tenantAccount + ":"
)

var (
	operatorKey = stsemulator.AccessKey{ID: "LTAI5tOperatorOfTheDocs", Secret: "the-operators-secret-of-the-docs"}
	tenantKey   = stsemulator.AccessKey{ID: "LTAI5tTenantOfTheDocs00", Secret: "the-tenants-secret-of-the-docs00"}
)

// ramPolicy is RAM's document, as far as the docs use it.
type ramPolicy struct {
	Statement []struct {
		Principal struct{ RAM, Federated []string }
		Condition struct{ StringEquals map[string]string }
	}
}

// seed lets the emulated RAM know whom the docs name. Its roles have the trust policies that docs/identity.md gives to
// paste, so that a page which has one of them assumed shows that they let in whom they are for.
func (s *stage) seed(config *rest.Config) {
	s.Helper()
	s.emulator.AddUserKey(accountID, "sts-operator", operatorKey)
	s.emulator.AddUserKey(tenantAccount, "shop", tenantKey)
	published, err := kubernetes.NewForConfigOrDie(config).RESTClient().Get().AbsPath("/openid/v1/jwks").DoRaw(s.Context())
	must(s, err)
	var keys jose.JSONWebKeySet
	must(s, json.Unmarshal(published, &keys))
	s.emulator.AddOIDCProvider(stsemulator.OIDCProvider{ARN: provider, Issuer: issuer, ClientIDs: []string{"sts.aliyuncs.com"}, JWKS: keys})
	s.addRole(tenantARN+"role/shop", stsemulator.Statement{RAM: []string{tenantARN + "user/shop"}})
	page, err := Read(s.root, "docs/identity.md")
	must(s, err)
	policies := 0
	for _, b := range page.Blocks {
		if b.Language == "json" {
			s.take(strings.ReplaceAll(b.Text, "<issuer URL of the provider>", issuer))
			policies++
		}
	}
	if policies != 3 {
		s.Errorf("docs/identity.md has %d policies, want the operator's rights and two of trust", policies)
	}
}

// take gives a trust policy to the roles that it is for, and checks the grammar of one of rights.
func (s *stage) take(document string) {
	s.Helper()
	var policy ramPolicy
	must(s, json.Unmarshal([]byte(document), &policy))
	said := policy.Statement[0]
	trust := stsemulator.Statement{RAM: said.Principal.RAM, Federated: said.Principal.Federated, StringEquals: map[string][]string{}}
	for key, value := range said.Condition.StringEquals {
		trust.StringEquals[key] = []string{value}
	}
	switch {
	case len(trust.RAM) > 0:
		s.addRole(account+"role/orders-reader", trust)
		s.addRole(account+"role/shop-reports", trust)
	case len(trust.Federated) > 0:
		s.addRole(account+"role/orders-writer", trust)
	default:
		_, err := rampolicy.Compact([]byte(document))
		must(s, err)
	}
}

func (s *stage) addRole(arn string, trust stsemulator.Statement) {
	s.emulator.AddRole(stsemulator.Role{ARN: arn, MaxSessionDuration: 12 * time.Hour, Trust: []stsemulator.Statement{trust}})
}
