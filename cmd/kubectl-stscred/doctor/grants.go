// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/grant"
)

var clusterGrantChecks = []clusterCheck{
	{name: "grant-unused", stage: StageGrant, needs: canMatchGrants, find: findGrantsWithoutNamespace,
		healthy: "Every grant matches a namespace."},
}

// canMatchGrants reports whether all namespaces are known.
func canMatchGrants(s *Snapshot) bool {
	return s.AllNamespaces && len(s.Namespaces) > 0 &&
		!slices.ContainsFunc(s.Unread, func(u Unread) bool { return u.Resource == "namespaces" })
}

// findGrantsWithoutNamespace finds grants that match no namespace. That no StsCredential uses a grant is not a finding: an
// administrator may grant a role before a team asks for it.
func findGrantsWithoutNamespace(s *Snapshot) (findings []Finding) {
	for i := range s.Grants {
		g := &s.Grants[i]
		if slices.ContainsFunc(slices.Collect(maps.Keys(s.Namespaces)), func(name string) bool {
			return grant.CoversNamespace(g, name, s.Namespaces[name].Labels)
		}) {
			continue
		}
		f := Finding{
			Object: "StsRoleGrant " + g.Name, Message: "The grant matches no namespace: " + selection(g) + ".",
			Fix: fmt.Sprintf("# Correct spec.namespaces, create the namespace, or delete the grant if nobody needs it:\nkubectl "+
				"delete stsrolegrant %s", g.Name),
		}
		if corrected, changed := s.corrected(g); changed {
			patch, _ := json.Marshal(map[string]any{"spec": map[string]any{"namespaces": map[string]any{"names": corrected}}}) // strings only
			f.Message = fmt.Sprintf("The grant matches no namespace: %s. Similar namespaces: %s.", selection(g), strings.Join(corrected, ", "))
			f.Fix = fmt.Sprintf("kubectl patch stsrolegrant %s --type=merge -p '%s'", g.Name, patch)
		}
		findings = append(findings, f)
	}
	return findings
}

// selection describes the namespaces of a grant.
func selection(g *v1alpha1.StsRoleGrant) string {
	var parts []string
	for _, name := range g.Spec.Namespaces.Names[:min(len(g.Spec.Namespaces.Names), 5)] {
		parts = append(parts, fmt.Sprintf("there is no namespace %q", name))
	}
	if g.Spec.Namespaces.Selector != nil {
		parts = append(parts, "none has the labels of its selector")
	}
	return strings.Join(parts, ", ")
}

// corrected replaces the names of a grant by those of namespaces that differ in one character.
func (s *Snapshot) corrected(g *v1alpha1.StsRoleGrant) (names []string, changed bool) {
	for _, wrong := range g.Spec.Namespaces.Names {
		for _, name := range slices.Sorted(maps.Keys(s.Namespaces)) {
			if oneEditApart(string(wrong), name) && !slices.Contains(names, name) {
				names, changed = append(names, name), true
			}
		}
	}
	return names, changed && len(g.Spec.Namespaces.Names) == 1
}

// oneEditApart reports whether one inserted, removed or replaced character, or a swap of two neighbours, makes a of b.
func oneEditApart(a, b string) bool {
	if len(a) > len(b) {
		a, b = b, a
	}
	if a == b || len(b)-len(a) > 1 {
		return false
	}
	i := 0
	for i < len(a) && a[i] == b[i] {
		i++
	}
	if len(a) < len(b) {
		return a[i:] == b[i+1:]
	}
	return a[i+1:] == b[i+1:] || i+1 < len(a) && a[i] == b[i+1] && a[i+1] == b[i] && a[i+2:] == b[i+2:]
}
