// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
)

var identityChecks = []credentialCheck{
	{name: "access-key-missing", stage: StageIdentity, find: findAccessKey, healthy: "The Secret of spec.identity.accessKey has an AccessKey, if there is one."},
	{name: "identity-unavailable", stage: StageIdentity, find: findIdentity, healthy: "The identity has credentials for STS."},
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
	create := kubectl(c.Namespace, "create", "secret", "generic", key.SecretName,
		`--from-literal=`+key.IDKey()+`="$ACCESS_KEY_ID"`, `--from-literal=`+key.SecretKey()+`="$ACCESS_KEY_SECRET"`)
	if secret == nil {
		return []Finding{{
			Object:  objectOf(c),
			Message: because(s, c, fmt.Sprintf("Secret %s with the AccessKey of the identity does not exist.", key.SecretName)),
			Fix:     script(comment("Set both variables to the AccessKey of a RAM user first."), create, retryNow(c)),
		}}
	}
	wrong := wrongKey(secret, key)
	if wrong == "" {
		return nil
	}
	f := Finding{Object: objectOf(c), Message: because(s, c, fmt.Sprintf("Secret %s: %s", key.SecretName, wrong))}
	if id, secretKey := keysOfAccessKey(secret); id != "" {
		f.Fix = script(comment("The Secret has an AccessKey under other keys."), s.patchSpec(c, object{"identity": object{"accessKey": object{
			"accessKeyIDKey": id, "accessKeySecretKey": secretKey,
		}}}))
		return []Finding{f}
	}
	f.Fix = script(comment("Set both variables to the AccessKey of a RAM user first."),
		create+" --dry-run=client -o yaml | "+kubectl(c.Namespace, "patch", "secret", key.SecretName, "--patch-file=/dev/stdin"),
		retryNow(c))
	return []Finding{f}
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

// findIdentity finds an identity without credentials, by the condition. What STS says about it is judged in stage sts.
func findIdentity(s *Snapshot, c *v1alpha1.StsCredential) []Finding {
	found := problemOf(c, v1alpha1.ReasonIdentityUnavailable)
	if found == nil || codeIn(found.Message) != "" {
		return nil
	}
	return []Finding{{Object: objectOf(c), Message: because(s, c, found.Message), Fix: s.identityFix(c, found.Message)}}
}

// identityFix returns the fix for a message of IdentityUnavailable.
func (s *Snapshot) identityFix(c *v1alpha1.StsCredential, message string) string {
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
			s.patchSpec(c, object{"identity": object{"serviceAccount": object{"oidcProviderARN": "acs:ram::<account ID>:oidc-provider/<name>"}}}))
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
