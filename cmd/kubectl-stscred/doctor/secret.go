// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"fmt"
	"regexp"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/secret"
)

var secretChecks = []credentialCheck{
	onReason("secret-conflict", StageSecret, "The Secret belongs to the StsCredential.", v1alpha1.ReasonSecretConflict, conflictFix),
	{name: "namespace-terminating", stage: StageSecret, find: findTerminating, healthy: "The namespace is not being deleted."},
	onReason("secret-write-failed", StageSecret, "The API server accepts the Secret.", v1alpha1.ReasonSecretWriteFailed, writeFix),
	{name: "secret-missing", stage: StageSecret, find: findMissingSecret, healthy: "The Secret exists."},
	{name: "credentials-expired", stage: StageSecret, find: findExpired, healthy: "The credentials are valid."},
}

// secretOf returns the Secret of an StsCredential, and whether it was looked for.
func (s *Snapshot) secretOf(c *v1alpha1.StsCredential) (*corev1.Secret, bool) {
	found, known := s.Secrets[types.NamespacedName{Namespace: c.Namespace, Name: c.SecretName()}]
	return found, known
}

// conflictFix is for a Secret that the operator may not write to.
func conflictFix(s *Snapshot, c *v1alpha1.StsCredential, message string) string {
	name := c.SecretName()
	rename := patchSpec(c, object{"secret": object{"name": freeSecretName(s, c)}})
	remove := kubectl(c.Namespace, "delete", "secret", name)
	switch existing, known := s.secretOf(c); {
	case strings.Contains(message, "reads its AccessKey from it"):
		return rename
	case !known || existing == nil:
	case secret.Original(existing) != "" || secret.OriginalCredential(existing) != "":
		return script(comment("The copy holds superseded credentials. The operator then writes a Secret of its own."), remove)
	case existing.Type != corev1.SecretTypeOpaque || metav1.GetControllerOfNoCopy(existing) != nil:
	case secret.RecordedFor(existing) == "":
		return script(comment("Write the credentials to another Secret, and let pods read that:"), rename,
			comment("Or, if the Secret is yours, let the operator write its keys to it and keep all other keys:"),
			commented(kubectl(c.Namespace, "annotate", "secret", name, v1alpha1.AnnotationAdopt+"="+c.Name)))
	}
	return script(comment("Write the credentials to another Secret, and let pods read that. Or delete the Secret that stands in the way, if nobody needs it."), rename)
}

// freeSecretName returns a name that no known Secret of the namespace has.
func freeSecretName(s *Snapshot, c *v1alpha1.StsCredential) string {
	name := c.Name + "-sts"
	for i := 2; s.Secrets[types.NamespacedName{Namespace: c.Namespace, Name: name}] != nil; i++ {
		name = fmt.Sprintf("%s-sts-%d", c.Name, i)
	}
	return name
}

// findTerminating finds a namespace that is being deleted.
func findTerminating(s *Snapshot, c *v1alpha1.StsCredential) []Finding {
	namespace := s.Namespaces[c.Namespace]
	found := problemOf(c, v1alpha1.ReasonSecretWriteFailed)
	named := found != nil && (strings.Contains(found.Message, "is being deleted") || strings.Contains(found.Message, "is being terminated"))
	if !named && (namespace == nil || namespace.DeletionTimestamp.IsZero()) {
		return nil
	}
	return one(fmt.Sprintf("Namespace %s is being deleted, so no credentials are issued in it.", c.Namespace),
		script(comment("Create the StsCredential in another namespace. This shows what the deletion waits for:"), kubectl("", "get", "namespace", c.Namespace, "-o", "yaml")))
}

// Parts of the operator's messages about refused writes.
var (
	exceededQuota  = regexp.MustCompile(`exceeded quota: ([a-z0-9.-]+[a-z0-9])`)
	denyingPolicy  = regexp.MustCompile(`ValidatingAdmissionPolicy '([a-z0-9.-]+)'`)
	denyingWebhook = regexp.MustCompile(`admission webhook "([^"]+)"`)
)

// writeFix is for a Secret that the API server refuses.
func writeFix(s *Snapshot, c *v1alpha1.StsCredential, message string) string {
	existing, _ := s.secretOf(c)
	switch {
	case exceededQuota.MatchString(message):
		return s.quotaFix(c, exceededQuota.FindStringSubmatch(message)[1])
	case denyingPolicy.MatchString(message):
		return s.policyFix(denyingPolicy.FindStringSubmatch(message)[1])
	case denyingWebhook.MatchString(message):
		webhook := denyingWebhook.FindStringSubmatch(message)[1]
		return script(comment("As a cluster administrator, exclude Secrets with the label "+secret.UIDLabel+" from webhook "+webhook+" (objectSelector). This finds it:"),
			"kubectl get validatingwebhookconfigurations,mutatingwebhookconfigurations -o name")
	case strings.Contains(message, "immutable"), existing != nil && ptr.Deref(existing.Immutable, false):
		return script(comment("An immutable Secret cannot be renewed. The operator creates it again at once:"), kubectl(c.Namespace, "delete", "secret", c.SecretName()))
	case strings.Contains(message, "changed by admission"):
		return script(comment("As a cluster administrator, exclude Secrets with the label "+secret.UIDLabel+" from the webhook or policy that changes Secrets. These may:"),
			"kubectl get mutatingwebhookconfigurations,mutatingadmissionpolicies -o name")
	}
	return script(comment("Correct what the message names. The operator retries."), kubectl(c.Namespace, "get", "secret", c.SecretName()))
}

// quotaFix raises the quota by one Secret.
func (s *Snapshot) quotaFix(c *v1alpha1.StsCredential, quota string) string {
	for i := range s.Quotas {
		q := &s.Quotas[i]
		if q.Namespace != c.Namespace || q.Name != quota {
			continue
		}
		for _, resource := range []corev1.ResourceName{"secrets", "count/secrets"} {
			used, limit := q.Status.Used[resource], q.Spec.Hard[resource]
			if _, limited := q.Spec.Hard[resource]; limited && used.Cmp(limit) >= 0 {
				return script(comment("Delete Secrets that nobody needs, or raise the quota:"),
					mergePatch(c.Namespace, "resourcequota", quota, object{"spec": object{"hard": object{string(resource): fmt.Sprint(used.Value() + 1)}}}))
			}
		}
	}
	return script(comment("Delete Secrets that nobody needs, or raise the quota:"), kubectl(c.Namespace, "edit", "resourcequota", quota))
}

// policyFix excludes the operator from an admission policy.
func (s *Snapshot) policyFix(policy string) string {
	namespace, account := s.operatorAccount()
	return script(comment("A cluster administrator decides: this exempts the operator from the policy."),
		strategicPatch("", "validatingadmissionpolicy", policy, object{"spec": object{"matchConditions": []object{{
			"name": "not-sts-credential-operator", "expression": "request.userInfo.username != 'system:serviceaccount:" + namespace + ":" + account + "'",
		}}}}))
}

// findMissingSecret finds a Secret that the operator has written and that is gone.
func findMissingSecret(s *Snapshot, c *v1alpha1.StsCredential) []Finding {
	existing, known := s.secretOf(c)
	if !known || existing != nil || problem(c) != nil {
		return nil
	}
	return one(fmt.Sprintf("The StsCredential is ready, but Secret %s does not exist. The operator creates it again while it runs.", c.SecretName()),
		kubectl(c.Namespace, "annotate", "stscredential", c.Name, "--overwrite", v1alpha1.AnnotationRenewRequestedAt+`="$(date -u +%Y-%m-%dT%H:%M:%SZ)"`))
}

// findExpired finds credentials that have expired although the status says that they work: the operator does not renew them.
func findExpired(s *Snapshot, c *v1alpha1.StsCredential) []Finding {
	if c.Status.ExpiresAt == nil || s.now().Before(c.Status.ExpiresAt.Time) || problem(c) != nil {
		return nil
	}
	namespace, _ := s.operatorAccount()
	return one(because(s, c, "The operator does not renew the credentials."),
		script(comment("Check that the operator runs, and that --namespaces and --selector include the StsCredential:"), kubectl(namespace, "get", "deployments,pods")))
}
