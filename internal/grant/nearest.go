// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package grant

import (
	"fmt"
	"strings"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
)

// nearMisses are the reasons why a grant does not allow a request, the nearest first. They do not name other namespaces and
// roles: a namespace's users may not be allowed to read grants.
var nearMisses = []struct {
	misses  func(g *v1alpha1.StsRoleGrant, r Request) bool
	differs Difference
	advice  string // after the grant's name
}{
	{func(g *v1alpha1.StsRoleGrant, r Request) bool {
		return CoversNamespace(g, r.Namespace, r.NamespaceLabels) && anyRole(g, func(pattern string) bool {
			return matchRole(strings.ToLower(pattern), strings.ToLower(r.RoleARN))
		})
	}, DiffersInCase, "names a role that differs only in case. Correct spec.roleARN or the grant"},
	{func(g *v1alpha1.StsRoleGrant, r Request) bool {
		return CoversNamespace(g, r.Namespace, r.NamespaceLabels) && anyRole(g, func(pattern string) bool {
			return matchRole(inAccount(pattern), inAccount(r.RoleARN))
		})
	}, DiffersInAccount, "names a role of that name in another account. Correct the account ID in spec.roleARN or in the grant"},
	{func(g *v1alpha1.StsRoleGrant, r Request) bool {
		return anyRole(g, func(pattern string) bool { return matchRole(pattern, r.RoleARN) })
	}, DiffersInNamespace, "allows the role, but not for this namespace. Ask a cluster administrator to add the namespace's name or label"},
	{func(g *v1alpha1.StsRoleGrant, r Request) bool {
		return CoversNamespace(g, r.Namespace, r.NamespaceLabels)
	}, DiffersInRole, "is for this namespace, but names other roles. Ask a cluster administrator to add the role, or correct spec.roleARN"},
}

// refusal returns the verdict that no grant allows the role for the namespace, and what the nearest one lacks. sorted are all
// grants by name.
func refusal(sorted []v1alpha1.StsRoleGrant, r Request) Verdict {
	none := fmt.Sprintf("no StsRoleGrant allows namespace %s to assume %s", r.Namespace, r.RoleARN)
	for _, near := range nearMisses {
		for i := range sorted {
			if near.misses(&sorted[i], r) {
				return Verdict{
					Refusal: none + ": StsRoleGrant " + sorted[i].Name + " " + near.advice, Nearest: sorted[i].Name, Differs: near.differs,
				}
			}
		}
	}
	return Verdict{Refusal: none + ". Ask a cluster administrator for a grant that names both"}
}

func anyRole(g *v1alpha1.StsRoleGrant, matches func(pattern string) bool) bool {
	for _, pattern := range g.Spec.RoleARNs {
		if matches(string(pattern)) {
			return true
		}
	}
	return false
}

// inAccount returns a role's ARN or pattern without its account.
func inAccount(arn string) string {
	_, name, _ := strings.Cut(arn, "/")
	return "/" + name
}
