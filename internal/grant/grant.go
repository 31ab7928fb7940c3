// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package grant decides whether a namespace may make a request with the operator's identity. Deny is the default.
package grant

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
)

// Request is a request of a namespace.
type Request struct {
	Namespace       string
	NamespaceLabels map[string]string
	// RoleARN of the role to assume.
	RoleARN string
	// Duration is the requested lifetime.
	Duration time.Duration
	// SessionPrefix is the prefix of the namespace's session names.
	SessionPrefix string
	// FreeSessionName: the session name does not start with SessionPrefix.
	FreeSessionName bool
	// SourceIdentity: the request carries one.
	SourceIdentity bool
	// OwnPolicy: the request carries a session policy.
	OwnPolicy bool
}

// Verdict is the decision.
type Verdict struct {
	// GrantName is the grant that allows the request; empty if none does.
	GrantName string
	// Policy is the session policy that the grant imposes, nil if none.
	Policy *runtime.RawExtension
	// Refusal is the cause and the next step; empty if granted.
	Refusal string
	// Nearest is the grant that comes nearest to the request, and Differs what it lacks; empty if granted, or if no grant is
	// near.
	Nearest string
	Differs Difference
}

// Difference is what the nearest grant lacks.
type Difference string

// The differences.
const (
	DiffersInCase           Difference = "case"           // of a role's ARN
	DiffersInAccount        Difference = "account"        // of a role of the same name
	DiffersInNamespace      Difference = "namespace"      // the role is granted to other namespaces
	DiffersInRole           Difference = "role"           // other roles are granted to the namespace
	DiffersInDuration       Difference = "duration"       // it has a lower maximum
	DiffersInSessionName    Difference = "sessionName"    // it requires the namespace's prefix
	DiffersInSourceIdentity Difference = "sourceIdentity" // it does not allow one
	DiffersInPolicy         Difference = "policy"         // it imposes one
)

// Granted reports whether the request may be made.
func (v Verdict) Granted() bool { return v.GrantName != "" }

// Decide selects a grant that allows the whole request: first one without a policy, then the first by name.
func Decide(grants []v1alpha1.StsRoleGrant, r Request) Verdict {
	candidates := slices.Clone(grants)
	slices.SortFunc(candidates, func(a, b v1alpha1.StsRoleGrant) int { return strings.Compare(a.Name, b.Name) })
	var verdict, nearest Verdict // nearest has the limit of the first grant for namespace and role
	for _, g := range candidates {
		if !Concerns(&g, r.Namespace, r.NamespaceLabels, r.RoleARN) {
			continue
		}
		if differs, missing := limit(&g, r); missing != "" {
			if nearest.Nearest == "" {
				nearest = Verdict{Refusal: missing, Nearest: g.Name, Differs: differs}
			}
			continue
		}
		if g.Spec.Policy == nil {
			return Verdict{GrantName: g.Name}
		}
		if !verdict.Granted() {
			verdict = Verdict{GrantName: g.Name, Policy: g.Spec.Policy}
		}
	}
	switch {
	case verdict.Granted():
		return verdict
	case nearest.Nearest != "":
		return nearest
	}
	return refusal(candidates, r)
}

// Concerns reports whether a grant is for this namespace and role, regardless of its limits.
func Concerns(g *v1alpha1.StsRoleGrant, namespace string, namespaceLabels map[string]string, roleARN string) bool {
	return CoversNamespace(g, namespace, namespaceLabels) &&
		slices.ContainsFunc(g.Spec.RoleARNs, func(p v1alpha1.RoleARNPattern) bool { return matchRole(string(p), roleARN) })
}

// CoversNamespace reports whether a grant is for a namespace with these labels.
func CoversNamespace(g *v1alpha1.StsRoleGrant, namespace string, namespaceLabels map[string]string) bool {
	return slices.Contains(g.Spec.Namespaces.Names, v1alpha1.NamespaceName(namespace)) ||
		selects(g.Spec.Namespaces.Selector, namespaceLabels)
}

// selects is false for a missing, empty or invalid selector: none of them may widen access.
func selects(s *v1alpha1.GrantSelector, namespaceLabels map[string]string) bool {
	if s == nil {
		return false
	}
	standard := &metav1.LabelSelector{MatchLabels: make(map[string]string, len(s.MatchLabels))}
	for k, v := range s.MatchLabels {
		standard.MatchLabels[k] = string(v)
	}
	for _, e := range s.MatchExpressions {
		requirement := metav1.LabelSelectorRequirement{Key: e.Key, Operator: e.Operator}
		for _, v := range e.Values {
			requirement.Values = append(requirement.Values, string(v))
		}
		standard.MatchExpressions = append(standard.MatchExpressions, requirement)
	}
	selector, err := metav1.LabelSelectorAsSelector(standard)
	return err == nil && !selector.Empty() && selector.Matches(labels.Set(namespaceLabels))
}

// roleName matches the names that RAM allows for roles, and so what '*' matches.
var roleName = regexp.MustCompile(`^[A-Za-z0-9._-]+$`)

func matchRole(pattern, arn string) bool {
	patternScope, patternName, _ := strings.Cut(pattern, "/")
	scope, name, _ := strings.Cut(arn, "/")
	if scope != patternScope || !roleName.MatchString(name) || strings.Trim(patternName, "*") == "" {
		return false
	}
	ok, err := path.Match(patternName, name)
	return ok && err == nil
}

// limit returns the limit of a grant that the request exceeds, with the message; empty if none.
func limit(g *v1alpha1.StsRoleGrant, r Request) (differs Difference, message string) {
	allow := g.Spec.Allow
	switch {
	case g.Spec.MaxDuration != nil && r.Duration > g.Spec.MaxDuration.Duration:
		return DiffersInDuration, fmt.Sprintf("StsRoleGrant %s allows at most %s; spec.duration is %s. Lower spec.duration",
			g.Name, g.Spec.MaxDuration.Duration, r.Duration)
	case r.FreeSessionName && !slices.Contains(allow, v1alpha1.AllowSessionName):
		return DiffersInSessionName, fmt.Sprintf("StsRoleGrant %s requires session names that start with %q. Change or remove spec.sessionName, or request allow: [SessionName]",
			g.Name, r.SessionPrefix)
	case r.SourceIdentity && !slices.Contains(allow, v1alpha1.AllowSourceIdentity):
		return DiffersInSourceIdentity, fmt.Sprintf("StsRoleGrant %s does not allow a source identity. Remove spec.sourceIdentity, or request allow: [SourceIdentity]",
			g.Name)
	case r.OwnPolicy && g.Spec.Policy != nil:
		return DiffersInPolicy, fmt.Sprintf("StsRoleGrant %s imposes a session policy. Remove spec.policy", g.Name)
	}
	return "", ""
}
