// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package grant

import (
	"fmt"
	"strings"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
)

// nearMisses are how a grant can miss a request, the nearest first. Names of other namespaces and roles are not given away:
// a namespace's users may not be allowed to read grants.
var nearMisses = []struct {
	misses func(g *v1alpha1.StsRoleGrant, r Request) bool
	advice string // after the grant's name
}{
	{func(g *v1alpha1.StsRoleGrant, r Request) bool {
		return CoversNamespace(g, r.Namespace, r.NamespaceLabels) && anyRole(g, func(pattern string) bool {
			return matchRole(strings.ToLower(pattern), strings.ToLower(r.RoleARN))
		})
	}, "names a role that differs in upper and lower case alone, which RAM tells apart: correct spec.roleARN or the grant"},
	{func(g *v1alpha1.StsRoleGrant, r Request) bool {
		return CoversNamespace(g, r.Namespace, r.NamespaceLabels) && anyRole(g, func(pattern string) bool {
			return matchRole(inAccount(pattern), inAccount(r.RoleARN))
		})
	}, "names a role of that name in another account: correct the account ID in spec.roleARN or in the grant"},
	{func(g *v1alpha1.StsRoleGrant, r Request) bool {
		return anyRole(g, func(pattern string) bool { return matchRole(pattern, r.RoleARN) })
	}, "allows the role, but not to this namespace: ask a cluster admin to add the namespace's name or label"},
	{func(g *v1alpha1.StsRoleGrant, r Request) bool {
		return CoversNamespace(g, r.Namespace, r.NamespaceLabels)
	}, "is for this namespace, but names other roles: ask a cluster admin to add the role, or correct spec.roleARN"},
}

// refusal says that no grant covers namespace and role, and what the nearest one lacks. sorted are all grants by name.
func refusal(sorted []v1alpha1.StsRoleGrant, r Request) string {
	none := fmt.Sprintf("no StsRoleGrant lets namespace %s assume %s: ", r.Namespace, r.RoleARN)
	for _, near := range nearMisses {
		for i := range sorted {
			if near.misses(&sorted[i], r) {
				return none + "StsRoleGrant " + sorted[i].Name + " " + near.advice
			}
		}
	}
	return none + "ask a cluster admin for one that names both"
}

func anyRole(g *v1alpha1.StsRoleGrant, matches func(pattern string) bool) bool {
	for _, pattern := range g.Spec.RoleARNs {
		if matches(string(pattern)) {
			return true
		}
	}
	return false
}

// inAccount is a role's ARN or pattern without its account.
func inAccount(arn string) string {
	_, name, _ := strings.Cut(arn, "/")
	return "/" + name
}
