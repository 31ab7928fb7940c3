// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stscredential

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/secret"
)

// conflict returns the reconcile error for a Secret that this StsCredential may not write to: whose it is, and how to go on.
func (p *pass) conflict(found *corev1.Secret) *trouble {
	whose, wayOut := whoseSecret(found), p.wayOut(found)
	return &trouble{reason: v1alpha1.ReasonSecretConflict, retry: conflictRetry, message: fmt.Sprintf(
		"Secret %s exists and %s, so it is left as it is: choose another spec.secret.name%s", found.Name, whose, wayOut)}
}

// whoseSecret says why a Secret is not this StsCredential's.
func whoseSecret(found *corev1.Secret) string {
	controller := metav1.GetControllerOfNoCopy(found)
	copied := secret.Original(found)
	switch {
	case found.Type != corev1.SecretTypeOpaque:
		return "is not of type Opaque"
	case copied != "":
		return "is a copy of Secret " + copied
	case secret.OriginalCredential(found) != "":
		return "is a copy of the Secret of StsCredential " + secret.OriginalCredential(found)
	case controller != nil:
		return fmt.Sprintf("belongs to %s %s", controller.Kind, controller.Name)
	case secret.RecordedFor(found) != "":
		return "belongs to StsCredential " + secret.RecordedFor(found) + " by its record"
	}
	return "is not this StsCredential's"
}

// wayOut is what its owner can do beside choosing another name.
func (p *pass) wayOut(found *corev1.Secret) string {
	switch {
	case found.Type != corev1.SecretTypeOpaque || metav1.GetControllerOfNoCopy(found) != nil:
		return " or delete the Secret"
	case secret.RecordedFor(found) != "":
		return fmt.Sprintf(", delete the Secret, or hand it over: kubectl -n %s annotate secret %s --overwrite %s- %s=%s",
			found.Namespace, found.Name, secret.CredentialAnnotation, v1alpha1.AnnotationAdopt, p.credential.Name)
	}
	return fmt.Sprintf(", delete the Secret, or let its owner consent with the annotation %s: %s", v1alpha1.AnnotationAdopt, p.credential.Name)
}

// byIdentity indexes the cached StsCredentials by the Secret whose AccessKey they call STS with.
const byIdentity = "accessKeyIn"

func accessKeyIn(o client.Object) []string {
	c, ok := o.(*v1alpha1.StsCredential)
	if !ok || c.Spec.Identity == nil || c.Spec.Identity.AccessKey == nil {
		return nil
	}
	return []string{c.Spec.Identity.AccessKey.SecretName}
}

// spareIdentities refuses to adopt a Secret that an StsCredential of the namespace reads an AccessKey from: the first write
// could replace the key, and nobody has another copy.
func (r *Reconciler) spareIdentities(ctx context.Context, p *pass) error {
	if !p.untouched() || p.credential.Spec.Suspend {
		return nil
	}
	var users v1alpha1.StsCredentialList
	err := r.List(ctx, &users, client.InNamespace(p.credential.Namespace), client.MatchingFields{byIdentity: p.seen.Name}, client.UnsafeDisableDeepCopy)
	if err != nil {
		return fmt.Errorf("list the StsCredentials that use Secret %s/%s: %w", p.credential.Namespace, p.seen.Name, err)
	}
	if len(users.Items) > 0 {
		p.fail(trouble{reason: v1alpha1.ReasonSecretConflict, retry: conflictRetry, message: fmt.Sprintf(
			"Secret %s is not adopted: StsCredential %s reads its AccessKey from it (identity.accessKey.secretName). Choose another spec.secret.name.",
			p.seen.Name, users.Items[0].Name)})
	}
	return nil
}
