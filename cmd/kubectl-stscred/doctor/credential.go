// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/grant"
	"github.com/stscredential/sts-credential-operator/internal/rampolicy"
)

// credentialChecks are the checks of one StsCredential, its Secret and its pods, in the order of the stages. The checks of the
// credentials come before those of the pods.
var credentialChecks = slices.Concat([]credentialCheck{
	onReason("spec-invalid", StageGrant, "The operator accepts the spec.", v1alpha1.ReasonInvalidSpec, specFix),
	{name: "suspended", stage: StageGrant, find: findSuspended, healthy: "spec.suspend is not set."},
	{name: "role-not-granted", stage: StageGrant, find: findNotGranted, healthy: "An StsRoleGrant, or spec.identity, allows the role."},
	{name: "access-key-missing", stage: StageIdentity, find: findAccessKey, healthy: "The Secret of spec.identity.accessKey has an AccessKey, if there is one."},
	onReason("identity-unavailable", StageIdentity, "The identity has credentials for STS.", v1alpha1.ReasonIdentityUnavailable, identityFix),
}, stsChecks, secretChecks, []credentialCheck{
	// What no other check explains.
	{name: "not-reconciled", stage: StageSecret, find: findNotReconciled, healthy: "The operator reconciles the StsCredential."},
	{name: "not-ready", stage: StageSecret, find: findNotReady, healthy: "The StsCredential is ready."},
}, podChecks)

// harmless are the cluster checks whose findings keep no credentials from being issued.
var harmless = []string{"operator-version", "crd-version", "grant-unused", "temporary-key-literal", "clock-skew-local"}

// explains reports whether a finding about the cluster is why the credentials of an StsCredential are not issued.
func explains(f Finding, c *v1alpha1.StsCredential) bool {
	if slices.Contains(harmless, f.Check) || problem(c) == nil {
		return false
	}
	message := problem(c).Message
	switch f.Check {
	case "clock-skew-node":
		return strings.HasPrefix(codeIn(message), "InvalidTimeStamp") || strings.HasSuffix(codeIn(message), ".Expired")
	case "renewals-late":
		return strings.Contains(message, "call budget")
	}
	return f.Stage == StageCluster || f.Stage == StageIdentity && c.Spec.Identity == nil
}

// problem returns the condition that says why credentials are not issued or not renewed; nil if nothing is wrong. Without a
// status it is an empty condition.
func problem(c *v1alpha1.StsCredential) *metav1.Condition {
	if meta.IsStatusConditionTrue(c.Status.Conditions, v1alpha1.ConditionRenewalFailing) {
		return meta.FindStatusCondition(c.Status.Conditions, v1alpha1.ConditionRenewalFailing)
	}
	ready := meta.FindStatusCondition(c.Status.Conditions, v1alpha1.ConditionReady)
	switch {
	case ready == nil:
		return &metav1.Condition{}
	case ready.Status == metav1.ConditionTrue:
		return nil
	}
	return ready
}

// problemOf returns the problem if it has one of the reasons; else nil.
func problemOf(c *v1alpha1.StsCredential, reasons ...string) *metav1.Condition {
	if found := problem(c); found != nil && slices.Contains(reasons, found.Reason) {
		return found
	}
	return nil
}

// usable reports whether the Secret holds valid credentials for the spec.
func usable(s *Snapshot, c *v1alpha1.StsCredential) bool {
	return meta.IsStatusConditionTrue(c.Status.Conditions, v1alpha1.ConditionReady) &&
		(c.Status.ExpiresAt == nil || s.now().Before(c.Status.ExpiresAt.Time))
}

// now is the time of the API server, or of the user's machine if that is unknown.
func (s *Snapshot) now() time.Time {
	if s.ServerTime.IsZero() {
		return s.LocalTime
	}
	return s.ServerTime
}

// because adds to the message of a condition until when the credentials work.
func because(s *Snapshot, c *v1alpha1.StsCredential, message string) string {
	message = sentence(message)
	expires := c.Status.ExpiresAt
	switch {
	case expires == nil:
		return message
	case s.now().Before(expires.Time):
		return message + " The current credentials expire at " + format(expires) + "."
	}
	return message + " The credentials expired at " + format(expires) + "."
}

// sentence returns text that begins with a capital letter and ends with a full stop. Names at the beginning stay as they are.
func sentence(text string) string {
	text = strings.TrimSpace(text)
	if text == "" {
		return ""
	}
	first, _, _ := strings.Cut(text, " ")
	if !strings.ContainsAny(first, "./:") && strings.ToLower(first) == first {
		text = strings.ToUpper(text[:1]) + text[1:]
	}
	if !strings.HasSuffix(text, ".") && !strings.HasSuffix(text, "…") {
		text += "."
	}
	return text
}

// pendingFor is how long an StsCredential may be without an answer of the operator.
const pendingFor = time.Minute

// findNotReconciled finds StsCredentials that the operator does not look at.
func findNotReconciled(s *Snapshot, c *v1alpha1.StsCredential) []Finding {
	if problem(c) == nil || problem(c).Type != "" || s.now().Sub(c.CreationTimestamp.Time) < pendingFor || !c.DeletionTimestamp.IsZero() {
		return nil
	}
	selector, namespaces := s.operatorFlag("selector"), s.operatorFlag("namespaces")
	fix := []string{"# Check that the operator runs, and that --namespaces and --selector include the StsCredential."}
	cause := "The operator has not reconciled it for more than a minute."
	switch {
	case selector != "" && !matches(selector, c.Labels):
		cause = "The operator reconciles only StsCredentials with the labels " + selector + " (--selector)."
		fix = []string{comment("Set labels that match the selector.")}
		if set, err := labels.ConvertSelectorToLabelsMap(selector); err == nil {
			command := []string{"label", "stscredential", c.Name, "--overwrite"}
			for _, name := range slices.Sorted(maps.Keys(set)) {
				command = append(command, word(name+"="+set[name]))
			}
			fix = []string{kubectl(c.Namespace, command...)}
		}
	case namespaces != "" && !slices.Contains(strings.Split(namespaces, ","), c.Namespace):
		cause = "The operator reconciles only the namespaces " + namespaces + " (--namespaces)."
		fix = []string{"# Ask a cluster administrator to add the namespace (chart: namespaces)."}
	}
	fix = append(fix, kubectl(c.Namespace, "get", "stscredential", c.Name, "-o", "yaml"))
	return one(cause, script(fix...))
}

// findNotReady finds what no other check explains, if it has lasted for a minute.
func findNotReady(s *Snapshot, c *v1alpha1.StsCredential) []Finding {
	found := problem(c)
	if found == nil || found.Type == "" {
		return nil
	}
	pending := found.Type == v1alpha1.ConditionReady && found.Status == metav1.ConditionUnknown || found.ObservedGeneration != c.Generation
	if pending && s.now().Sub(found.LastTransitionTime.Time) < pendingFor {
		return nil
	}
	return one(because(s, c, found.Reason+": "+found.Message),
		script("# "+found.Reason+": see what it means, and follow the message.", "kubectl stscred explain "+found.Reason))
}

// specFix is for what the operator's own checks reject. STS's answers are judged in stage sts.
func specFix(_ *Snapshot, c *v1alpha1.StsCredential, message string) string {
	switch {
	case codeIn(message) != "":
		return ""
	case strings.HasPrefix(message, "identity.accessKey.secretName:"):
		return patchSpec(c, object{"secret": object{"name": c.Name + "-sts"}})
	case strings.HasPrefix(message, "spec.secret.template.data: with formats: []"):
		return script(comment("Write the templates with their braces (a chart must escape them), or let the Secret have the keys that SDKs read:"),
			patchSpec(c, object{"secret": object{"formats": []string{"SDK"}}}))
	}
	return script(comment("Correct what the message names."), kubectl(c.Namespace, "edit", "stscredential", c.Name))
}

// findSuspended finds StsCredentials that are not renewed because spec.suspend is set.
func findSuspended(s *Snapshot, c *v1alpha1.StsCredential) []Finding {
	if !c.Spec.Suspend {
		return nil
	}
	return one(because(s, c, "spec.suspend is true: the operator makes no call to STS and does not write the Secret."), patchSpec(c, object{"suspend": false}))
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
		return one(because(s, c, found.Message), s.newGrant(c, "Ask a cluster administrator to apply this grant."))
	}
	prefix := v1alpha1.SessionPrefix(s.operatorFlag("cluster-name"), c.Namespace)
	verdict := grant.Decide(s.Grants, grant.Request{
		Namespace: c.Namespace, NamespaceLabels: namespace.Labels, RoleARN: c.Spec.RoleARN, Duration: c.Duration(), SessionPrefix: prefix,
		FreeSessionName: c.Spec.SessionName != "" && !strings.HasPrefix(c.Spec.SessionName, prefix),
		SourceIdentity:  c.Spec.SourceIdentity != "", OwnPolicy: c.Spec.Policy != nil,
	})
	if verdict.Granted() {
		return invalidGrantPolicy(verdict)
	}
	return one(because(s, c, verdict.Refusal), s.grantFix(c, verdict))
}

// invalidGrantPolicy finds a policy of a grant that RAM would reject.
func invalidGrantPolicy(verdict grant.Verdict) []Finding {
	if verdict.Policy == nil {
		return nil
	}
	if _, err := rampolicy.Compact(verdict.Policy.Raw); err != nil {
		return one(fmt.Sprintf("The policy of StsRoleGrant %s is invalid: %s", verdict.GrantName, sentence(err.Error())),
			script(comment("As a cluster administrator, correct what the message names."), kubectl("", "edit", "stsrolegrant", verdict.GrantName)))
	}
	return nil
}

// grantFix returns what makes the request one that a grant allows.
func (s *Snapshot) grantFix(c *v1alpha1.StsCredential, verdict grant.Verdict) string {
	nearest := s.grantNamed(verdict.Nearest)
	switch verdict.Differs {
	case grant.DiffersInCase, grant.DiffersInAccount:
		if role := similarRole(nearest, c.Spec.RoleARN); role != "" {
			return script(comment("If the grant is right:"), patchSpec(c, object{"roleARN": role}))
		}
	case grant.DiffersInDuration:
		return script(comment("Or ask a cluster administrator to raise maxDuration of StsRoleGrant "+nearest.Name+"."),
			patchSpec(c, object{"duration": shortDuration(nearest.Spec.MaxDuration.Duration)}))
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

func patchSpec(c *v1alpha1.StsCredential, spec object) string {
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

// findAccessKey finds an AccessKey that is not where spec.identity.accessKey says.
func findAccessKey(s *Snapshot, c *v1alpha1.StsCredential) []Finding {
	if c.Spec.Identity == nil || c.Spec.Identity.AccessKey == nil {
		return nil
	}
	key := c.Spec.Identity.AccessKey
	secret, known := s.Secrets[types.NamespacedName{Namespace: c.Namespace, Name: key.SecretName}]
	if !known {
		return nil // the condition says what is wrong
	}
	if secret == nil {
		return one(because(s, c, fmt.Sprintf("Secret %s with the AccessKey of the identity does not exist.", key.SecretName)),
			script(comment("Set both variables to the AccessKey of a RAM user first."), createAccessKey(c.Namespace, key), retryNow(c)))
	}
	wrong := wrongKey(secret, key)
	if wrong == "" {
		return nil
	}
	fix := script(comment("Set both variables to the AccessKey of a RAM user first."), writeKey(c.Namespace, key), retryNow(c))
	if id, secretKey := keysOfAccessKey(secret); id != "" {
		fix = script(comment("The Secret has an AccessKey under other keys."), patchSpec(c, object{"identity": object{"accessKey": object{
			"accessKeyIDKey": id, "accessKeySecretKey": secretKey,
		}}}))
	}
	return one(because(s, c, fmt.Sprintf("Secret %s: %s", key.SecretName, wrong)), fix)
}

// wrongKey says what is wrong with the AccessKey in a Secret, without its values; empty if nothing is.
func wrongKey(secret *corev1.Secret, key *v1alpha1.AccessKeyIdentity) string {
	for _, name := range []string{key.IDKey(), key.SecretKey()} {
		value, found := secret.Data[name]
		switch {
		case !found:
			return "there is no key " + name + "."
		case len(value) == 0:
			return "the key " + name + " is empty."
		case strings.ContainsFunc(string(value), unicode.IsSpace):
			return "the value of the key " + name + " contains white space, such as the line break that echo adds."
		}
	}
	if strings.HasPrefix(string(secret.Data[key.IDKey()]), "STS.") {
		return "the key " + key.IDKey() + " holds a temporary AccessKey ID, which works only with its security token. Use the AccessKey of a RAM user."
	}
	return ""
}

// The documented forms of an AccessKey.
var (
	accessKeyID     = regexp.MustCompile(`^LTAI[A-Za-z0-9]{12,20}$`)
	accessKeySecret = regexp.MustCompile(`^[A-Za-z0-9]{30}$`)
)

// keysOfAccessKey returns the keys of the only AccessKey in a Secret; empty if there is none, or if there are several.
func keysOfAccessKey(secret *corev1.Secret) (id, secretKey string) {
	var ids, secrets []string
	for _, name := range slices.Sorted(maps.Keys(secret.Data)) {
		switch value := secret.Data[name]; {
		case accessKeyID.Match(value):
			ids = append(ids, name)
		case accessKeySecret.Match(value):
			secrets = append(secrets, name)
		}
	}
	if len(ids) != 1 || len(secrets) != 1 {
		return "", ""
	}
	return ids[0], secrets[0]
}

// identityFix is for an identity without credentials. What STS says about it is judged in stage sts.
func identityFix(s *Snapshot, c *v1alpha1.StsCredential, message string) string {
	if codeIn(message) != "" {
		return ""
	}
	if c.Spec.Identity == nil {
		namespace, _ := s.operatorAccount()
		return script(comment("As a cluster administrator, give the operator an identity, such as the AccessKey of a RAM user, and restart it:"),
			kubectl(namespace, "create", "secret", "generic", "sts-operator",
				`--from-literal=ALIBABA_CLOUD_ACCESS_KEY_ID="$ACCESS_KEY_ID"`, `--from-literal=ALIBABA_CLOUD_ACCESS_KEY_SECRET="$ACCESS_KEY_SECRET"`))
	}
	account := c.Spec.Identity.ServiceAccount
	switch {
	case account == nil:
		return script(comment("Correct what the message names. If the AccessKey is right by now, let the operator try again:"), retryNow(c))
	case strings.Contains(message, "the ServiceAccount does not exist"):
		return kubectl(c.Namespace, "create", "serviceaccount", account.Name)
	case strings.Contains(message, "may not request its tokens"):
		return script(comment("A cluster administrator decides: this lets the operator request tokens of this ServiceAccount."), s.tokenRole(c.Namespace, account.Name))
	case strings.Contains(message, "may not request tokens of ServiceAccounts"):
		return script(s.enable("serviceAccountIdentity.enabled=true", "service-account-identity"), s.tokenRole(c.Namespace, account.Name))
	case strings.Contains(message, "OIDC provider"):
		return script(comment("Write the ARN of the cluster's OIDC provider in RAM, and not the example:"),
			patchSpec(c, object{"identity": object{"serviceAccount": object{"oidcProviderARN": "acs:ram::<account ID>:oidc-provider/<name>"}}}))
	}
	return script(comment("Correct what the message names."), kubectl(c.Namespace, "get", "serviceaccount", account.Name, "-o", "yaml"))
}

// tokenRole returns the command that lets the operator request tokens of a ServiceAccount.
func (s *Snapshot) tokenRole(namespace, account string) string {
	operatorNamespace, operator := s.operatorAccount()
	return apply(fmt.Sprintf(`apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: "sts-token-%[2]s", namespace: "%[1]s"}
rules:
  - apiGroups: [""]
    resources: [serviceaccounts/token]
    resourceNames: ["%[2]s"]
    verbs: [create]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: "sts-token-%[2]s", namespace: "%[1]s"}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: "sts-token-%[2]s"}
subjects:
  - {kind: ServiceAccount, name: "%[4]s", namespace: "%[3]s"}
`, namespace, account, operatorNamespace, operator))
}
