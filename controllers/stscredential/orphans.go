// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stscredential

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/apiserver"
	"github.com/stscredential/sts-credential-operator/internal/renewal"
	"github.com/stscredential/sts-credential-operator/internal/retry"
	"github.com/stscredential/sts-credential-operator/internal/secret"
)

// orphanedSecrets are the cached Secrets that were written for this object under other names than its present one.
func orphanedSecrets(ctx context.Context, cached client.Reader, c *v1alpha1.StsCredential) ([]corev1.Secret, error) {
	var secrets corev1.SecretList
	err := cached.List(ctx, &secrets, client.InNamespace(c.Namespace), client.MatchingFields{byCredential: string(c.UID)}, client.UnsafeDisableDeepCopy)
	if err != nil {
		return nil, fmt.Errorf("failed to list the Secrets of %s/%s: %w", c.Namespace, c.Name, err)
	}
	if c.Name != c.SecretName() {
		var same corev1.Secret
		if err := cached.Get(ctx, client.ObjectKeyFromObject(c), &same); client.IgnoreNotFound(err) != nil {
			return nil, fmt.Errorf("failed to read Secret %s/%s: %w", c.Namespace, c.Name, err)
		}
		secrets.Items = append(secrets.Items, same)
	}
	return slices.DeleteFunc(secrets.Items, func(s corev1.Secret) bool {
		return s.Name == c.SecretName() || s.Labels[secret.UIDLabel] != string(c.UID)
	}), nil
}

// deleteOrphans deletes Secrets under earlier names when their credentials have expired and the current Secret holds valid ones.
// Until then, pods that still use the earlier name keep working. It returns the delays after which Secrets are due for
// deletion.
func (s secrets) deleteOrphans(ctx context.Context, t target, d renewal.Decision) (again []time.Duration, err error) {
	if t.terminating {
		return nil, nil
	}
	orphaned, err := orphanedSecrets(ctx, s, t.credential)
	if err != nil {
		return nil, err
	}
	var errs []error
	for i := range orphaned {
		orphan := &orphaned[i]
		record, _ := secret.Read(orphan)
		if record == nil || !secret.Removable(orphan, t.credential) {
			continue
		}
		if secret.Adopted(orphan) {
			errs = append(errs, s.addFinalizer(ctx, t.credential, orphan.Name))
		}
		if !d.Usable || t.credential.Spec.Suspend {
			continue
		}
		left := record.ExpiresAt.Sub(s.sts.Now())
		if left <= 0 {
			left = s.deleteOrphan(ctx, orphan)
		}
		again = append(again, left)
	}
	return again, errors.Join(errs...)
}

// deleteOrphan deletes an orphaned Secret with an intact record; from an adopted one it removes the operator's keys instead.
// It does nothing if the Secret has changed since it was read, because the watch then triggers another reconcile. It returns
// the delay until the next attempt; 0 if none is needed.
func (s secrets) deleteOrphan(ctx context.Context, orphan *corev1.Secret) (again time.Duration) {
	var err error
	if named := (&corev1.Secret{ObjectMeta: objectMeta(orphan)}); secret.Adopted(orphan) {
		err = s.Patch(ctx, named, client.RawPatch(secret.PatchType, secret.RemovalPatch(orphan)))
	} else {
		err = s.Delete(ctx, named, client.Preconditions{UID: &orphan.UID, ResourceVersion: &orphan.ResourceVersion})
	}
	if err == nil || apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return 0
	}
	cause, _ := apiserver.Describe(err)
	log.FromContext(ctx).Info("Failed to delete orphaned Secret", "secret", orphan.Name, "cause", cause)
	return retry.Blocked
}
