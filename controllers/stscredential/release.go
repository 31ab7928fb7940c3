// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stscredential

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/apiserver"
	"github.com/stscredential/sts-credential-operator/internal/secret"
)

// byCredential indexes the cached Secrets that have another name than the StsCredential that they were written for, by its
// UID. Most have the same, and need no index.
const byCredential = "writtenFor"

// IndexSecrets gives the cache the indexes that find the Secrets of an StsCredential whatever their names, the StsCredentials
// that want a name, and those that read an AccessKey from a Secret.
func IndexSecrets(ctx context.Context, indexer client.FieldIndexer) error {
	if err := indexSecretNames(ctx, indexer); err != nil {
		return err
	}
	if err := indexer.IndexField(ctx, &v1alpha1.StsCredential{}, byIdentity, accessKeyIn); err != nil {
		return err
	}
	return indexer.IndexField(ctx, &corev1.Secret{}, byCredential, func(s client.Object) []string {
		if s.GetName() == secret.CredentialName(s) {
			return nil
		}
		return []string{s.GetLabels()[secret.UIDLabel]}
	})
}

// formerSecrets are the cached Secrets that were written for this object under other names than its present one.
func (r *Reconciler) formerSecrets(ctx context.Context, c *v1alpha1.StsCredential) ([]corev1.Secret, error) {
	var secrets corev1.SecretList
	err := r.List(ctx, &secrets, client.InNamespace(c.Namespace), client.MatchingFields{byCredential: string(c.UID)}, client.UnsafeDisableDeepCopy)
	if err != nil {
		return nil, fmt.Errorf("list the Secrets of %s/%s: %w", c.Namespace, c.Name, err)
	}
	if c.Name != c.SecretName() {
		var same corev1.Secret
		if err := r.Get(ctx, client.ObjectKeyFromObject(c), &same); client.IgnoreNotFound(err) != nil {
			return nil, fmt.Errorf("read Secret %s/%s: %w", c.Namespace, c.Name, err)
		}
		secrets.Items = append(secrets.Items, same)
	}
	return slices.DeleteFunc(secrets.Items, func(s corev1.Secret) bool {
		return s.Name == c.SecretName() || s.Labels[secret.UIDLabel] != string(c.UID)
	}), nil
}

// prune takes away what was written under other names, once that has expired and the present Secret works: until then,
// pods that are not yet pointed at the new name live on.
func (r *Reconciler) prune(ctx context.Context, p *pass) error {
	if p.ending {
		return nil
	}
	secrets, err := r.formerSecrets(ctx, p.credential)
	if err != nil {
		return err
	}
	for i := range secrets {
		record, _ := secret.Read(&secrets[i])
		if record == nil || !secret.Removable(&secrets[i], p.credential) {
			continue
		}
		if secret.Adopted(&secrets[i]) {
			r.restoreFinalizer(ctx, p, secrets[i].Name)
		}
		if !p.decision.Usable || p.credential.Spec.Suspend {
			continue
		}
		left := record.ExpiresAt.Sub(r.STS.Now())
		if left <= 0 {
			left = r.discard(ctx, &secrets[i])
		}
		p.looks = append(p.looks, left)
	}
	return nil
}

// discard deletes a Secret of whose record nothing was edited or, if it was adopted, takes out what was written to it, unless it has changed since it was seen:
// an event tells then. It returns when to try again, 0 if not at all.
func (r *Reconciler) discard(ctx context.Context, s *corev1.Secret) (retry time.Duration) {
	var err error
	if target := (&corev1.Secret{ObjectMeta: objectMeta(s)}); secret.Adopted(s) {
		err = r.Patch(ctx, target, client.RawPatch(secret.PatchType, secret.Release(s)))
	} else {
		err = r.Delete(ctx, target, client.Preconditions{UID: &s.UID, ResourceVersion: &s.ResourceVersion})
	}
	if err == nil || apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return 0
	}
	why, _ := apiserver.Describe(err)
	log.FromContext(ctx).Info("Failed to delete orphaned Secret", "secret", s.Name, "why", why)
	return conflictRetry
}

// releaseSecrets takes what was written out of the Secrets that the object adopted. What cannot be changed for good keeps
// no namespace from being deleted: it is told, and expires by itself.
func (r *Reconciler) releaseSecrets(ctx context.Context, c *v1alpha1.StsCredential) error {
	secrets, err := r.formerSecrets(ctx, c)
	if err != nil {
		return err
	}
	names := map[string]bool{c.SecretName(): true}
	for i := range secrets {
		names[secrets[i].Name] = true
	}
	for name := range names {
		if err := r.releaseSecret(ctx, c, name); err != nil {
			return err
		}
	}
	return nil
}

// releaseSecret takes what was written out of one Secret, if it was adopted.
func (r *Reconciler) releaseSecret(ctx context.Context, c *v1alpha1.StsCredential, name string) error {
	s, err := r.lookLive(ctx, types.NamespacedName{Namespace: c.Namespace, Name: name})
	if err != nil || s == nil || !secret.Owned(s, c) || !secret.Adopted(s) || neverWritten(s) {
		return err
	}
	if !secret.Removable(s, c) {
		r.notReleased(c, name, "it was edited since")
		return nil
	}
	patch := secret.Release(stripped(s))
	err = r.Patch(ctx, &corev1.Secret{ObjectMeta: objectMeta(s)}, client.RawPatch(secret.PatchType, patch))
	if client.IgnoreNotFound(err) == nil {
		return nil
	}
	why, passing := apiserver.Describe(err)
	if passing {
		return fmt.Errorf("take what was written out of Secret %s/%s: %s", c.Namespace, name, why)
	}
	r.notReleased(c, name, why)
	return nil
}

// notReleased records an event on credentials that stay in an adopted Secret.
func (r *Reconciler) notReleased(c *v1alpha1.StsCredential, name, why string) {
	r.Events.Eventf(c, nil, corev1.EventTypeWarning, v1alpha1.ReasonSecretWriteFailed, "Release",
		"what was written to Secret %s stays there until it expires, since it cannot be taken out: %s", name, why)
}

// neverWritten reports whether an adopted Secret has no record: its owner consented, and nothing was written yet.
func neverWritten(s *corev1.Secret) bool {
	record, _ := secret.Read(s)
	return record == nil
}
