// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package grant_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/grant"
)

// What the API server admits as a pattern of a grant, and as a role of a StsCredential.
var (
	admittedPattern = regexp.MustCompile(`^acs:ram::[0-9]{1,32}:role/[A-Za-z0-9._*-]{1,64}$`)
	onlyStars       = regexp.MustCompile(`/[*]+$`)
	admittedRole    = regexp.MustCompile(`^acs:ram::[0-9]{1,32}:role/[A-Za-z0-9._-]{1,64}$`)
)

// FuzzRoleARN: a pattern and a role that are admitted match exactly as an expression does in which '*' stands for any part
// of a name; of what is not admitted, nothing reaches a role beyond its own account.
func FuzzRoleARN(f *testing.F) {
	f.Add("acs:ram::1:role/shop-*", "acs:ram::1:role/shop-reader")
	f.Add("acs:ram::1:role/*a*b*", "acs:ram::1:role/xaybz")
	f.Add("acs:ram::1:role/a.b", "acs:ram::1:role/axb")
	f.Add("acs:ram::*:role/x", "acs:ram::2:role/x")
	f.Add("acs:ram::1:role/*", "acs:ram::1:role/x")
	f.Add("acs:ram::1:role/x", "acs:ram::1:role/x/y")
	f.Add("acs:ram::1:role/x*", "acs:ram::1:role/x\n")
	f.Fuzz(func(t *testing.T, pattern, arn string) {
		g := given("g", roles(v1alpha1.RoleARNPattern(pattern)))
		got := grant.Concerns(&g, "shop", nil, arn)
		account, _, _ := strings.Cut(arn, "/")
		if got && !strings.HasPrefix(pattern, account+"/") {
			t.Errorf("%q reached %q, of another account", pattern, arn)
		}
		if !admittedPattern.MatchString(pattern) || onlyStars.MatchString(pattern) || !admittedRole.MatchString(arn) {
			return
		}
		expression := strings.ReplaceAll(regexp.QuoteMeta(pattern), `\*`, `[A-Za-z0-9._-]*`)
		if want := regexp.MustCompile(`^` + expression + `$`).MatchString(arn); got != want {
			t.Errorf("%q and %q: got %v, want %v", pattern, arn, got, want)
		}
		if granted := grant.Decide([]v1alpha1.StsRoleGrant{g}, grant.Request{Namespace: "shop", RoleARN: arn}).Granted(); granted != got {
			t.Errorf("%q and %q: granted %v, concerned %v", pattern, arn, granted, got)
		}
	})
}
