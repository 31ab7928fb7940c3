// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stscredential

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/retry"
	"github.com/stscredential/sts-credential-operator/internal/secret"
)

// observe gets the Secret. blocked is the reason why no credentials will be issued; nil if there is none. The error has the
// reason SecretConflict if this StsCredential may not write to the Secret.
func (s secrets) observe(ctx context.Context, t target, blocked *reconcileError) (existing, error) {
	found, err := s.getSecret(ctx, t, blocked)
	if err != nil {
		return existing{}, err
	}
	switch {
	case found == nil:
		return existing{}, nil
	case secret.Owned(found, t.credential):
		e := readExisting(found)
		return e, checkNoIdentity(ctx, s, t, e)
	case blocked != nil || t.credential.Spec.Suspend:
		return existing{}, nil //nolint:nilerr // nothing is written to it: blocked is reported already
	}
	return takeOver(ctx, s.uncached, t, stripped(found))
}

// getSecret gets the Secret from the cache, or uncached where the cache shows none or an older one than was written last. It
// returns nil if there is none. A first issuance needs no uncached read: if a Secret stands in the way, its create fails.
func (s secrets) getSecret(ctx context.Context, t target, blocked *reconcileError) (*corev1.Secret, error) {
	c := t.credential
	key := types.NamespacedName{Namespace: c.Namespace, Name: c.SecretName()}
	found := &corev1.Secret{}
	err := s.Get(ctx, key, found)
	idle := (blocked != nil || c.Spec.Suspend) && c.Status.AccessKeyID == "" // nothing was issued, and nothing will be
	switch {
	case err == nil && !older(found.ResourceVersion, t.secretVersion):
		return found, nil
	case err == nil:
		return s.getUncached(ctx, key)
	case client.IgnoreNotFound(err) != nil:
		return nil, err
	case idle || t.firstIssuance:
		return nil, nil
	}
	return s.getUncached(ctx, key)
}

// takeOver decides about a stripped Secret that is not this StsCredential's: it takes over one that the operator made for an
// StsCredential that no longer uses it. Everything else is a conflict. Nothing is written before STS has answered.
func takeOver(ctx context.Context, uncached client.Reader, t target, found *corev1.Secret) (existing, error) {
	free, err := superseded(ctx, uncached, found)
	switch {
	case err != nil:
		return existing{}, err
	case !free:
		return existing{}, conflictWith(found, t.credential.Name)
	}
	e := readExisting(found)
	e.takenOver = true
	return e, nil
}

// superseded reports whether the StsCredential for which a stripped Secret was created is deleted, is being deleted, or
// names another Secret now. It reads the StsCredential uncached, because the cache may be outdated, or not select it
// (--selector).
func superseded(ctx context.Context, uncached client.Reader, s *corev1.Secret) (bool, error) {
	name := secret.Holder(s)
	if name == "" {
		return false, nil
	}
	holder := &v1alpha1.StsCredential{}
	if err := uncached.Get(ctx, types.NamespacedName{Namespace: s.Namespace, Name: name}, holder); err != nil {
		if client.IgnoreNotFound(err) == nil {
			return true, nil
		}
		return false, fmt.Errorf("failed to read StsCredential %s/%s: %w", s.Namespace, name, err)
	}
	return !holder.DeletionTimestamp.IsZero() || holder.SecretName() != s.Name, nil
}

// conflictWith returns the error for a Secret that the StsCredential of this name may not write to: whose it is, and how to
// go on.
func conflictWith(found *corev1.Secret, credential string) error {
	return newError(v1alpha1.ReasonSecretConflict,
		"Secret %s is not written: it %s. Choose another spec.secret.name%s", found.Name, conflictCause(found), nextSteps(found, credential)).retry(retry.Blocked)
}

// conflictCause returns why a Secret does not belong to this StsCredential.
func conflictCause(found *corev1.Secret) string {
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
		return "belongs to StsCredential " + secret.RecordedFor(found) + ", by its record"
	}
	return "does not belong to this StsCredential"
}

// nextSteps returns the other next steps of the conflict's message, beside choosing another name.
func nextSteps(found *corev1.Secret, credential string) string {
	switch {
	case found.Type != corev1.SecretTypeOpaque || metav1.GetControllerOfNoCopy(found) != nil:
		return " or delete the Secret"
	case secret.RecordedFor(found) != "":
		return fmt.Sprintf(", delete the Secret, or hand it over: kubectl -n %s annotate secret %s --overwrite %s- %s=%s",
			found.Namespace, found.Name, secret.CredentialAnnotation, v1alpha1.AnnotationAdopt, credential)
	}
	return fmt.Sprintf(", delete the Secret, or let its owner consent with the annotation %s: %s", v1alpha1.AnnotationAdopt, credential)
}

// checkNoIdentity refuses to adopt a Secret that an StsCredential of the namespace reads an AccessKey from: the first write
// could replace the key, and nobody has another copy.
func checkNoIdentity(ctx context.Context, cached client.Reader, t target, e existing) error {
	if !e.isUnmodified() || t.credential.Spec.Suspend {
		return nil
	}
	var users v1alpha1.StsCredentialList
	err := cached.List(ctx, &users, client.InNamespace(t.credential.Namespace), client.MatchingFields{byIdentity: e.secret.Name}, client.UnsafeDisableDeepCopy)
	if err != nil {
		return fmt.Errorf("failed to list the StsCredentials that use Secret %s/%s: %w", t.credential.Namespace, e.secret.Name, err)
	}
	if len(users.Items) > 0 {
		return newError(v1alpha1.ReasonSecretConflict,
			"Secret %s is not adopted: StsCredential %s reads its AccessKey from it (identity.accessKey.secretName). Choose another spec.secret.name.",
			e.secret.Name, users.Items[0].Name).retry(retry.Blocked)
	}
	return nil
}
