// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stscredential

import (
	"context"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/apiserver"
	"github.com/stscredential/sts-credential-operator/internal/retry"
)

// restoreFinalizer adds the finalizer again if another client has removed it: an adopted Secret with credentials needs it.
func (s secrets) restoreFinalizer(ctx context.Context, t target, e existing) error {
	if !e.adopted() || t.terminating || e.isUnmodified() {
		return nil
	}
	return s.addFinalizer(ctx, t.credential, e.secret.Name)
}

// addFinalizer adds the finalizer before the first write to an adopted Secret, so that the operator's keys are removed from
// the Secret when the StsCredential is deleted. It reads the object uncached, because the cache drops the finalizers of other
// clients.
func (s secrets) addFinalizer(ctx context.Context, c *v1alpha1.StsCredential, secretName string) error {
	if controllerutil.ContainsFinalizer(c, v1alpha1.FinalizerAdoptedSecret) {
		return nil
	}
	current, err := s.getCredential(ctx, c)
	if err == nil && current != nil && current.DeletionTimestamp.IsZero() {
		version := current.ResourceVersion
		if err = s.patchFinalizer(ctx, current, controllerutil.AddFinalizer); err == nil {
			if c.ResourceVersion == version { // otherwise the update of the status must fail: it is for an older spec
				c.ResourceVersion = current.ResourceVersion
			}
			c.Finalizers = current.Finalizers
			return nil
		}
	}
	cause, transient := "it is being deleted", false
	if err != nil {
		cause, transient = apiserver.Describe(err)
	}
	failure := newError(v1alpha1.ReasonSecretWriteFailed,
		"failed to write Secret %s: the StsCredential needs a finalizer before an adopted Secret is written, and adding it failed: %s", secretName, cause)
	failure.recoverable, failure.retryAfter = transient, retry.Blocked
	if transient {
		failure.retryAfter = retry.WriteConflict
	}
	return failure
}

// removeFinalizer removes the finalizer from an object that is being deleted.
func (s secrets) removeFinalizer(ctx context.Context, c *v1alpha1.StsCredential) error {
	current, err := s.getCredential(ctx, c)
	if err != nil || current == nil || !controllerutil.ContainsFinalizer(current, v1alpha1.FinalizerAdoptedSecret) {
		return err
	}
	return client.IgnoreNotFound(s.patchFinalizer(ctx, current, controllerutil.RemoveFinalizer))
}

// getCredential gets an StsCredential uncached; nil if it is gone, or another one has its name.
func (s secrets) getCredential(ctx context.Context, c *v1alpha1.StsCredential) (*v1alpha1.StsCredential, error) {
	current := &v1alpha1.StsCredential{}
	if err := s.uncached.Get(ctx, client.ObjectKeyFromObject(c), current); err != nil {
		return nil, client.IgnoreNotFound(err)
	}
	if current.UID != c.UID {
		return nil, nil //nolint:nilnil // there is none
	}
	return current, nil
}

// patchFinalizer changes the finalizer of an object that was read uncached, and fails if it has changed since.
func (s secrets) patchFinalizer(ctx context.Context, current *v1alpha1.StsCredential, update func(client.Object, string) bool) error {
	existing := current.DeepCopy()
	update(current, v1alpha1.FinalizerAdoptedSecret)
	return s.Patch(ctx, current, client.MergeFromWithOptions(existing, client.MergeFromWithOptimisticLock{}))
}
