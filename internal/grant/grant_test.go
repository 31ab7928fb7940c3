// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package grant_test

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/grant"
)

const role = "acs:ram::1234567890123456:role/shop-reader"

func given(name string, change ...func(*v1alpha1.StsRoleGrantSpec)) v1alpha1.StsRoleGrant {
	g := v1alpha1.StsRoleGrant{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1alpha1.StsRoleGrantSpec{
		Namespaces: v1alpha1.GrantNamespaces{Names: []v1alpha1.NamespaceName{"shop"}},
		RoleARNs:   []v1alpha1.RoleARNPattern{role},
	}}
	for _, c := range change {
		c(&g.Spec)
	}
	return g
}

func roles(patterns ...v1alpha1.RoleARNPattern) func(*v1alpha1.StsRoleGrantSpec) {
	return func(s *v1alpha1.StsRoleGrantSpec) { s.RoleARNs = patterns }
}

func selector(sel *v1alpha1.GrantSelector, names ...v1alpha1.NamespaceName) func(*v1alpha1.StsRoleGrantSpec) {
	return func(s *v1alpha1.StsRoleGrantSpec) {
		s.Namespaces = v1alpha1.GrantNamespaces{Names: names, Selector: sel}
	}
}

func policy(s *v1alpha1.StsRoleGrantSpec) {
	s.Policy = &runtime.RawExtension{Raw: []byte(`{"Version":"1","Statement":[]}`)}
}

func maxDuration(d time.Duration) func(*v1alpha1.StsRoleGrantSpec) {
	return func(s *v1alpha1.StsRoleGrantSpec) { s.MaxDuration = &metav1.Duration{Duration: d} }
}

func allow(what ...v1alpha1.GrantAllowance) func(*v1alpha1.StsRoleGrantSpec) {
	return func(s *v1alpha1.StsRoleGrantSpec) { s.Allow = what }
}

func TestDecide(t *testing.T) {
	teamShop := &v1alpha1.GrantSelector{MatchLabels: map[string]v1alpha1.LabelValue{"team": "shop"}}
	requires := func(op metav1.LabelSelectorOperator, values ...v1alpha1.LabelValue) *v1alpha1.GrantSelector {
		return &v1alpha1.GrantSelector{MatchExpressions: []v1alpha1.GrantSelectorRequirement{{Key: "team", Operator: op, Values: values}}}
	}
	for _, tt := range []struct {
		name    string
		grants  []v1alpha1.StsRoleGrant
		ask     func(*grant.Request)
		want    string // the grant's name
		imposed bool
		refusal string // a part of it
	}{
		{name: "no grant at all", refusal: "no StsRoleGrant allows namespace shop to assume " + role},
		{name: "named", grants: []v1alpha1.StsRoleGrant{given("a")}, want: "a"},
		{name: "another namespace", grants: []v1alpha1.StsRoleGrant{given("a")}, ask: func(r *grant.Request) { r.Namespace = "shop2" }, refusal: "namespace shop2"},
		{name: "another role", grants: []v1alpha1.StsRoleGrant{given("a")}, ask: func(r *grant.Request) { r.RoleARN += "2" }, refusal: "no StsRoleGrant"},
		{name: "another account", grants: []v1alpha1.StsRoleGrant{given("a", roles("acs:ram::1:role/*-reader"))}, refusal: "no StsRoleGrant"},
		{name: "upper case", grants: []v1alpha1.StsRoleGrant{given("a")}, ask: func(r *grant.Request) { r.RoleARN = strings.ToUpper(r.RoleARN) }, refusal: "no StsRoleGrant"},
		{name: "glob", grants: []v1alpha1.StsRoleGrant{given("a", roles("acs:ram::1234567890123456:role/shop-*"))}, want: "a"},
		{name: "glob in the middle", grants: []v1alpha1.StsRoleGrant{given("a", roles("acs:ram::1234567890123456:role/s*r"))}, want: "a"},
		{name: "glob matches whole", grants: []v1alpha1.StsRoleGrant{given("a", roles("acs:ram::1234567890123456:role/shop*x"))}, refusal: "no StsRoleGrant"},
		{name: "glob does not cross a slash", grants: []v1alpha1.StsRoleGrant{given("a", roles("acs:ram::1234567890123456:role/shop*"))}, ask: func(r *grant.Request) { r.RoleARN += "/x" }, refusal: "no StsRoleGrant"},
		{name: "glob stands for a role name's characters only", grants: []v1alpha1.StsRoleGrant{given("a", roles("acs:ram::1234567890123456:role/shop*"))}, ask: func(r *grant.Request) { r.RoleARN += "\n" }, refusal: "no StsRoleGrant"},
		{name: "star alone", grants: []v1alpha1.StsRoleGrant{given("a", roles("acs:ram::1234567890123456:role/*", "acs:ram::1234567890123456:role/**"))}, refusal: "no StsRoleGrant"},
		{name: "broken pattern", grants: []v1alpha1.StsRoleGrant{given("a", roles("acs:ram::1234567890123456:role/s["))}, refusal: "no StsRoleGrant"},
		{name: "selector", grants: []v1alpha1.StsRoleGrant{given("a", selector(teamShop))}, want: "a"},
		{name: "selector beside other names", grants: []v1alpha1.StsRoleGrant{given("a", selector(teamShop, "other"))}, want: "a"},
		{name: "selector of another team", grants: []v1alpha1.StsRoleGrant{given("a", selector(teamShop))}, ask: func(r *grant.Request) { r.NamespaceLabels = map[string]string{"team": "x"} }, refusal: "no StsRoleGrant"},
		{name: "expression", grants: []v1alpha1.StsRoleGrant{given("a", selector(requires(metav1.LabelSelectorOpIn, "shop", "x")))}, want: "a"},
		{name: "expression that does not hold", grants: []v1alpha1.StsRoleGrant{given("a", selector(requires(metav1.LabelSelectorOpDoesNotExist)))}, refusal: "no StsRoleGrant"},
		{name: "broken expression", grants: []v1alpha1.StsRoleGrant{given("a", selector(requires(metav1.LabelSelectorOpIn)))}, refusal: "no StsRoleGrant"},
		{name: "empty selector", grants: []v1alpha1.StsRoleGrant{given("a", selector(&v1alpha1.GrantSelector{}))}, refusal: "no StsRoleGrant"},
		{name: "neither", grants: []v1alpha1.StsRoleGrant{given("a", selector(nil))}, refusal: "no StsRoleGrant"},
		{name: "the first by name", grants: []v1alpha1.StsRoleGrant{given("b"), given("a"), given("c")}, want: "a"},
		{name: "one without a policy wins", grants: []v1alpha1.StsRoleGrant{given("a", policy), given("b"), given("c", policy)}, want: "b"},
		{name: "the first of those with a policy", grants: []v1alpha1.StsRoleGrant{given("b", policy), given("a", policy)}, want: "a", imposed: true},
		{name: "own policy under an imposed one", grants: []v1alpha1.StsRoleGrant{given("a", policy)}, ask: func(r *grant.Request) { r.OwnPolicy = true }, refusal: "StsRoleGrant a imposes a session policy. Remove spec.policy"},
		{name: "own policy", grants: []v1alpha1.StsRoleGrant{given("a", policy), given("b")}, ask: func(r *grant.Request) { r.OwnPolicy = true }, want: "b"},
		{name: "too long", grants: []v1alpha1.StsRoleGrant{given("a", maxDuration(30*time.Minute))}, refusal: "StsRoleGrant a allows at most 30m0s; spec.duration is 1h0m0s. Lower spec.duration"},
		{name: "just long enough", grants: []v1alpha1.StsRoleGrant{given("a", maxDuration(time.Hour))}, want: "a"},
		{name: "a grant must cover the whole request", grants: []v1alpha1.StsRoleGrant{given("a", maxDuration(30*time.Minute), allow(v1alpha1.AllowSourceIdentity)), given("b")},
			ask: func(r *grant.Request) { r.SourceIdentity = true }, refusal: "StsRoleGrant a allows at most"},
		{name: "free session name", grants: []v1alpha1.StsRoleGrant{given("a")}, ask: func(r *grant.Request) { r.FreeSessionName = true }, refusal: `StsRoleGrant a requires session names that start with "shop."`},
		{name: "free session name allowed", grants: []v1alpha1.StsRoleGrant{given("a", allow(v1alpha1.AllowSessionName))}, ask: func(r *grant.Request) { r.FreeSessionName = true }, want: "a"},
		{name: "source identity", grants: []v1alpha1.StsRoleGrant{given("a", allow(v1alpha1.AllowSessionName))}, ask: func(r *grant.Request) { r.SourceIdentity = true }, refusal: "StsRoleGrant a does not allow a source identity"},
		{name: "source identity allowed", grants: []v1alpha1.StsRoleGrant{given("a", allow(v1alpha1.AllowSourceIdentity))}, ask: func(r *grant.Request) { r.SourceIdentity = true }, want: "a"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ask := grant.Request{
				Namespace: "shop", NamespaceLabels: map[string]string{"team": "shop"},
				RoleARN: role, Duration: time.Hour, SessionPrefix: "shop.",
			}
			if tt.ask != nil {
				tt.ask(&ask)
			}
			got := grant.Decide(tt.grants, ask)
			if got.GrantName != tt.want || got.Granted() != (tt.want != "") || (got.Policy != nil) != tt.imposed ||
				!strings.Contains(got.Refusal, tt.refusal) || (got.Refusal == "") != (tt.refusal == "") {
				t.Errorf("Decide = %+v, want grant %q, imposed policy %v, refusal %q", got, tt.want, tt.imposed, tt.refusal)
			}
		})
	}
}

// FuzzRolePattern: no pattern that the schema admits reaches a role outside its own prefix and account.
func FuzzRolePattern(f *testing.F) {
	f.Add("shop-*", "shop-reader")
	f.Add("*-x", "y")
	f.Add("a*b*c", "abbc")
	f.Fuzz(func(t *testing.T, pattern, name string) {
		g := given("g", roles(v1alpha1.RoleARNPattern("acs:ram::1:role/"+pattern)))
		if !grant.Concerns(&g, "shop", nil, "acs:ram::1:role/"+name) {
			return
		}
		prefix, _, _ := strings.Cut(pattern, "*")
		literal := prefix
		for _, special := range `?[\` {
			literal, _, _ = strings.Cut(literal, string(special))
		}
		if !strings.HasPrefix(name, literal) || strings.ContainsAny(name, "/*:\n ") {
			t.Errorf("pattern %q reached %q", pattern, name)
		}
		if grant.Concerns(&g, "shop", nil, "acs:ram::2:role/"+name) {
			t.Errorf("pattern %q of account 1 reached account 2", pattern)
		}
	})
}
