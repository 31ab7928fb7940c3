// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"cmp"
	"encoding/json"
	"regexp"
	"strings"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
)

// TrustPolicy is the trust policy of a RAM role.
type TrustPolicy struct {
	Version   string           `json:"Version"`
	Statement []TrustStatement `json:"Statement"`
}

// TrustStatement allows a caller to assume the role.
type TrustStatement struct {
	Effect    string                       `json:"Effect"`
	Action    string                       `json:"Action"`
	Principal map[string][]string          `json:"Principal"`
	Condition map[string]map[string]string `json:"Condition,omitempty"`
}

// Caller is who assumes a role. Empty fields are not known.
type Caller struct {
	// Principal is the ARN of a RAM user or role. For a ServiceAccount it is not used.
	Principal string
	// ProviderARN and Issuer are those of the OIDC provider, for a ServiceAccount.
	ProviderARN, Issuer string
}

// Placeholders for what is not known.
const (
	UnknownPrincipal = "acs:ram::<account ID>:user/<user name>"
	UnknownProvider  = "acs:ram::<account ID>:oidc-provider/<name>"
	UnknownIssuer    = "<issuer URL>"
)

// TrustPolicyFor returns the trust policy that the role of an StsCredential needs, with placeholders for what is not known.
func TrustPolicyFor(c *v1alpha1.StsCredential, who Caller) TrustPolicy {
	statement := TrustStatement{Effect: "Allow", Action: "sts:AssumeRole"}
	equals := map[string]string{}
	if account := serviceAccountOf(c); account != "" {
		statement.Principal = map[string][]string{"Federated": {cmp.Or(who.ProviderARN, UnknownProvider)}}
		equals["oidc:iss"] = cmp.Or(who.Issuer, UnknownIssuer)
		equals["oidc:aud"] = "sts.aliyuncs.com"
		equals["oidc:sub"] = "system:serviceaccount:" + c.Namespace + ":" + account
	} else {
		statement.Principal = map[string][]string{"RAM": {cmp.Or(who.Principal, UnknownPrincipal)}}
		if c.Spec.ExternalID != "" {
			equals["sts:ExternalId"] = c.Spec.ExternalID
		}
		if c.Spec.SourceIdentity != "" {
			equals["sts:SourceIdentity"] = c.Spec.SourceIdentity
		}
	}
	if len(equals) > 0 {
		statement.Condition = map[string]map[string]string{"StringEquals": equals}
	}
	return TrustPolicy{Version: "1", Statement: []TrustStatement{statement}}
}

func serviceAccountOf(c *v1alpha1.StsCredential) string {
	if c.Spec.Identity == nil || c.Spec.Identity.ServiceAccount == nil {
		return ""
	}
	return c.Spec.Identity.ServiceAccount.Name
}

// ramPrincipal is a caller as a trust policy names it.
var ramPrincipal = regexp.MustCompile(`^acs:ram::[0-9]{1,32}:(?:user|role)/[A-Za-z0-9._@-]{1,128}$`)

// unknownCaller returns a sentence for a comment if a policy has placeholders; else nothing.
func unknownCaller(policy TrustPolicy) string {
	if !strings.Contains(compact(policy), "<") {
		return ""
	}
	return " Write who calls STS instead of the text in angle brackets: the operator logs its own ARN at its start."
}

// trusts says what a trust policy allows if no StsRoleGrant decides about it: with spec.identity, users of the namespace choose both
// the role and who assumes it.
func trusts(c *v1alpha1.StsCredential, policy TrustPolicy) string {
	if c.Spec.Identity == nil {
		return ""
	}
	text := " A RAM administrator decides: users of namespace " + c.Namespace + " chose this role, and can then assume it without a grant."
	for _, principals := range policy.Statement[0].Principal {
		if account := accountOf(principals[0]); account != "" && account != accountOf(c.Spec.RoleARN) {
			text += " Warning: the policy trusts another Alibaba Cloud account, " + account + "."
		}
	}
	return text
}

// accountOf returns the account in an ARN; empty if it has none.
func accountOf(arn string) string {
	account, _, _ := strings.Cut(strings.TrimPrefix(arn, "acs:ram::"), ":")
	if strings.Trim(account, "0123456789") != "" {
		return ""
	}
	return account
}

// IsPrincipal reports whether an ARN is one of a RAM user or role.
func IsPrincipal(arn string) bool { return ramPrincipal.MatchString(arn) }

// CallerOf returns what the cluster shows of the caller of an StsCredential: what STS's refusals name and, for the operator, the
// role that RRSA gives it.
func CallerOf(s *Snapshot, c *v1alpha1.StsCredential) Caller {
	var who Caller
	who.learn(c)
	if account := c.Spec.Identity; account != nil && account.ServiceAccount != nil {
		who.ProviderARN = cmp.Or(account.ServiceAccount.OIDCProviderARN, who.ProviderARN, s.operatorFlag("oidc-provider-arn"), s.operatorVariable("ALIBABA_CLOUD_OIDC_PROVIDER_ARN"))
		for i := range s.Credentials {
			if other := (Caller{}); who.Issuer == "" && serviceAccountOf(&s.Credentials[i]) != "" {
				other.learn(&s.Credentials[i])
				who.Issuer = other.Issuer
			}
		}
		return who
	}
	if c.Spec.Identity != nil {
		return who
	}
	for i := range s.Credentials { // the operator is the same for all
		if who.Principal == "" && s.Credentials[i].Spec.Identity == nil {
			who.learn(&s.Credentials[i])
		}
	}
	if role := s.operatorVariable("ALIBABA_CLOUD_ROLE_ARN"); who.Principal == "" && IsPrincipal(role) {
		who.Principal = role
	}
	return who
}

// learn reads the statement in the condition of a refused call.
func (w *Caller) learn(c *v1alpha1.StsCredential) {
	found := problem(c)
	if found == nil || found.ObservedGeneration != c.Generation {
		return // with another spec, another identity may have been refused
	}
	start := strings.Index(found.Message, `{"Effect":"Allow"`)
	if start < 0 {
		return
	}
	var statement struct {
		Principal map[string][]string
		Condition map[string]map[string]string
	}
	if json.NewDecoder(strings.NewReader(found.Message[start:])).Decode(&statement) != nil {
		return
	}
	known := func(values []string) string {
		if len(values) == 0 || strings.ContainsAny(values[0], "<>") {
			return ""
		}
		return values[0]
	}
	if principal := known(statement.Principal["RAM"]); IsPrincipal(principal) {
		w.Principal = principal
	}
	w.ProviderARN = known(statement.Principal["Federated"])
	w.Issuer = known([]string{statement.Condition["StringEquals"]["oidc:iss"]})
}

// operatorVariable returns a variable of the operator's pods, such as a webhook injects.
func (s *Snapshot) operatorVariable(name string) string {
	for i := range s.OperatorPods {
		for _, container := range s.OperatorPods[i].Spec.Containers {
			for _, e := range container.Env {
				if e.Name == name && e.Value != "" {
					return e.Value
				}
			}
		}
	}
	return ""
}
