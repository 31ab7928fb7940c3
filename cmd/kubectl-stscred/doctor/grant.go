// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/grant"
	"github.com/stscredential/sts-credential-operator/internal/rampolicy"
)

var specChecks = []credentialCheck{
	{name: "spec-invalid", stage: StageGrant, find: findInvalidSpec, healthy: "The operator accepts the spec."},
	{name: "suspended", stage: StageGrant, find: findSuspended, healthy: "spec.suspend is not set."},
}

var grantChecks = []credentialCheck{
	{name: "role-not-granted", stage: StageGrant, find: findNotGranted, healthy: "An StsRoleGrant, or spec.identity, allows the role."},
}

// findInvalidSpec finds what the operator's own checks reject. STS's answers are judged in stage sts.
func findInvalidSpec(s *Snapshot, c *v1alpha1.StsCredential) []Finding {
	found := problemOf(c, v1alpha1.ReasonInvalidSpec)
	if found == nil || codeIn(found.Message) != "" {
		return nil
	}
	fix := script(comment("Correct what the message names."), kubectl(c.Namespace, "edit", "stscredential", c.Name))
	switch {
	case strings.HasPrefix(found.Message, "identity.accessKey.secretName:"):
		fix = mergePatch(c.Namespace, "stscredential", c.Name, object{"spec": object{"secret": object{"name": c.Name + "-sts"}}})
	case strings.HasPrefix(found.Message, "spec.secret.template.data: with formats: []"):
		fix = script(comment("Write the templates with their braces (a chart must escape them), or let the Secret have the keys that SDKs read:"),
			mergePatch(c.Namespace, "stscredential", c.Name, object{"spec": object{"secret": object{"formats": []string{"SDK"}}}}))
	}
	return []Finding{{Object: objectOf(c), Message: because(s, c, found.Message), Fix: fix}}
}

// findSuspended finds StsCredentials that are not renewed because spec.suspend is set.
func findSuspended(s *Snapshot, c *v1alpha1.StsCredential) []Finding {
	if !c.Spec.Suspend {
		return nil
	}
	return []Finding{{
		Object: objectOf(c), Message: because(s, c, "spec.suspend is true: the operator makes no call to STS and does not write the Secret."),
		Fix: mergePatch(c.Namespace, "stscredential", c.Name, object{"spec": object{"suspend": false}}),
	}}
}

// findNotGranted finds StsCredentials that no grant covers. It decides from the grants; where they cannot be read, from the
// condition.
func findNotGranted(s *Snapshot, c *v1alpha1.StsCredential) []Finding {
	if c.Spec.Identity != nil {
		return nil
	}
	found := problemOf(c, v1alpha1.ReasonRoleNotGranted)
	namespace := s.Namespaces[c.Namespace]
	if namespace == nil || s.unread("stsrolegrants") {
		if found == nil {
			return nil
		}
		return []Finding{{Object: objectOf(c), Message: because(s, c, found.Message), Fix: s.newGrant(c, "Ask a cluster administrator to apply this grant.")}}
	}
	prefix := v1alpha1.SessionPrefix(s.operatorFlag("cluster-name"), c.Namespace)
	verdict := grant.Decide(s.Grants, grant.Request{
		Namespace: c.Namespace, NamespaceLabels: namespace.Labels, RoleARN: c.Spec.RoleARN, Duration: c.Duration(), SessionPrefix: prefix,
		FreeSessionName: c.Spec.SessionName != "" && !strings.HasPrefix(c.Spec.SessionName, prefix),
		SourceIdentity:  c.Spec.SourceIdentity != "", OwnPolicy: c.Spec.Policy != nil,
	})
	if verdict.Granted() {
		return s.invalidGrantPolicy(c, verdict)
	}
	return []Finding{{Object: objectOf(c), Message: because(s, c, verdict.Refusal), Fix: s.grantFix(c, verdict)}}
}

// invalidGrantPolicy finds a policy of a grant that RAM would reject.
func (s *Snapshot) invalidGrantPolicy(c *v1alpha1.StsCredential, verdict grant.Verdict) []Finding {
	if verdict.Policy == nil {
		return nil
	}
	if _, err := rampolicy.Compact(verdict.Policy.Raw); err != nil {
		return []Finding{{
			Object:  objectOf(c),
			Message: fmt.Sprintf("The policy of StsRoleGrant %s is invalid: %s", verdict.GrantName, sentence(err.Error())),
			Fix:     script(comment("As a cluster administrator, correct what the message names."), kubectl("", "edit", "stsrolegrant", verdict.GrantName)),
		}}
	}
	return nil
}

// grantFix returns what makes the request one that a grant allows.
func (s *Snapshot) grantFix(c *v1alpha1.StsCredential, verdict grant.Verdict) string {
	nearest := s.grantNamed(verdict.Nearest)
	switch verdict.Differs {
	case grant.DiffersInCase, grant.DiffersInAccount:
		if role := similarRole(nearest, c.Spec.RoleARN); role != "" {
			return script(comment("If the grant is right:"), s.patchSpec(c, object{"roleARN": role}))
		}
	case grant.DiffersInDuration:
		return script(comment("Or ask a cluster administrator to raise maxDuration of StsRoleGrant "+nearest.Name+"."),
			s.patchSpec(c, object{"duration": shortDuration(nearest.Spec.MaxDuration.Duration)}))
	case grant.DiffersInSessionName:
		return script(comment("Or ask a cluster administrator to add SessionName to allow of StsRoleGrant "+nearest.Name+"."),
			removeField(c.Namespace, c.Name, "/spec/sessionName"))
	case grant.DiffersInSourceIdentity:
		return script(comment("Or ask a cluster administrator to add SourceIdentity to allow of StsRoleGrant "+nearest.Name+"."),
			removeField(c.Namespace, c.Name, "/spec/sourceIdentity"))
	case grant.DiffersInPolicy:
		return script(comment("StsRoleGrant "+nearest.Name+" has a policy of its own, which then applies."), removeField(c.Namespace, c.Name, "/spec/policy"))
	case grant.DiffersInNamespace, grant.DiffersInRole:
	}
	return s.newGrant(c, "A cluster administrator decides: this grants the role to the namespace, and nothing else.")
}

func (s *Snapshot) patchSpec(c *v1alpha1.StsCredential, spec object) string {
	return mergePatch(c.Namespace, "stscredential", c.Name, object{"spec": spec})
}

func (s *Snapshot) grantNamed(name string) *v1alpha1.StsRoleGrant {
	if i := slices.IndexFunc(s.Grants, func(g v1alpha1.StsRoleGrant) bool { return g.Name == name }); i >= 0 {
		return &s.Grants[i]
	}
	return &v1alpha1.StsRoleGrant{}
}

// similarRole returns the role of a grant that differs from another only in case or account; empty if it is a pattern.
func similarRole(g *v1alpha1.StsRoleGrant, arn string) string {
	name := func(s string) string { return strings.ToLower(s[strings.LastIndex(s, "/")+1:]) }
	for _, role := range g.Spec.RoleARNs {
		if !strings.Contains(string(role), "*") && name(string(role)) == name(arn) {
			return string(role)
		}
	}
	return ""
}

// newGrant returns the command that creates a grant of the role to the namespace, with what the StsCredential needs.
func (s *Snapshot) newGrant(c *v1alpha1.StsCredential, why string) string {
	spec := object{"namespaces": object{"names": []string{c.Namespace}}, "roleARNs": []string{c.Spec.RoleARN}}
	var allow []string
	prefix := v1alpha1.SessionPrefix(s.operatorFlag("cluster-name"), c.Namespace)
	if c.Spec.SessionName != "" && !strings.HasPrefix(c.Spec.SessionName, prefix) {
		allow = append(allow, string(v1alpha1.AllowSessionName))
	}
	if c.Spec.SourceIdentity != "" {
		allow = append(allow, string(v1alpha1.AllowSourceIdentity))
	}
	if len(allow) > 0 {
		spec["allow"] = allow
	}
	return script(comment(why), apply(manifest(object{
		"apiVersion": v1alpha1.GroupVersion.String(), "kind": "StsRoleGrant",
		"metadata": object{"name": s.freeGrantName(c)}, "spec": spec,
	})))
}

// freeGrantName returns a name that no grant has.
func (s *Snapshot) freeGrantName(c *v1alpha1.StsCredential) string {
	name := strings.Trim(strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, strings.ToLower(c.Namespace+"-"+c.RoleName())), "-")
	name = cmp.Or(name, c.Namespace)
	for free, i := name, 2; ; i++ {
		if s.grantNamed(free).Name == "" {
			return free
		}
		free = fmt.Sprintf("%s-%d", name, i)
	}
}

// unread reports whether a resource could not be read.
func (s *Snapshot) unread(resource string) bool {
	return slices.ContainsFunc(s.Unread, func(u Unread) bool { return strings.HasPrefix(strings.ToLower(u.Resource), resource) })
}
