// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package grant_test

import (
	"strings"
	"testing"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/grant"
)

func TestARefusalNamesTheNearestGrant(t *testing.T) {
	elsewhere := selector(nil, "other")
	for _, tt := range []struct {
		name   string
		grants []v1alpha1.StsRoleGrant
		want   string
	}{
		{"none", nil, "assume " + role + ". Ask a cluster administrator for a grant that names both"},
		{"neither", []v1alpha1.StsRoleGrant{given("a", elsewhere, roles("acs:ram::1234567890123456:role/billing"))}, "Ask a cluster administrator for a grant that names both"},
		{"case of the role", []v1alpha1.StsRoleGrant{given("a", roles("acs:ram::1234567890123456:role/Shop-Reader"))}, "StsRoleGrant a names a role that differs only in case"},
		{"case of a pattern", []v1alpha1.StsRoleGrant{given("a", roles("acs:ram::1234567890123456:role/SHOP-*"))}, "StsRoleGrant a names a role that differs only in case"},
		{"another account", []v1alpha1.StsRoleGrant{given("a", roles("acs:ram::1:role/shop-*"))}, "StsRoleGrant a names a role of that name in another account"},
		{"another namespace", []v1alpha1.StsRoleGrant{given("a", elsewhere)}, "StsRoleGrant a allows the role, but not for this namespace"},
		{"another role", []v1alpha1.StsRoleGrant{given("a", roles("acs:ram::1234567890123456:role/billing"))}, "StsRoleGrant a is for this namespace, but names other roles"},
		{"the nearest of several", []v1alpha1.StsRoleGrant{
			given("a", roles("acs:ram::1234567890123456:role/billing")), given("b", elsewhere), given("c", roles("acs:ram::1234567890123456:role/shop-READER")),
		}, "StsRoleGrant c names a role that differs"},
		{"never a role's wildcard alone", []v1alpha1.StsRoleGrant{given("a", roles("acs:ram::1:role/*"))}, "StsRoleGrant a is for this namespace, but names other roles"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := grant.Decide(tt.grants, grant.Request{Namespace: "shop", RoleARN: role})
			if got.Granted() || !strings.Contains(got.Refusal, tt.want) || strings.Contains(got.Refusal, "other,") || strings.Contains(got.Refusal, "billing") {
				t.Errorf("refused with %q, want %q", got.Refusal, tt.want)
			}
		})
	}
}
