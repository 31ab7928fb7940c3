// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stscredential

import (
	"context"
	"errors"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/apiserver"
	"github.com/stscredential/sts-credential-operator/internal/retry"
)

// finalizers adds the finalizer of adopted Secrets to StsCredentials, and removes it.
type finalizers struct {
	client.Client
	uncached client.Reader
}

// restore adds the finalizer again if another client has removed it: an adopted Secret with credentials needs it.
func (f finalizers) restore(ctx context.Context, t target, e existing) error {
	if !e.adopted() || t.terminating || e.isUnmodified() {
		return nil
	}
	return f.restoreFor(ctx, t.credential, e.secret.Name)
}

// restoreFor adds the finalizer that an adopted Secret needs, and returns when to try again if that fails.
func (f finalizers) restoreFor(ctx context.Context, c *v1alpha1.StsCredential, secretName string) error {
	err := f.add(ctx, c, secretName)
	var failure *reconcileError
	switch {
	case !errors.As(err, &failure):
		return err
	case failure.recoverable:
		return failure.retry(retry.WriteConflict)
	}
	return failure.retry(retry.Blocked)
}

// errDeleting is returned for an object that is being deleted, or was, though the cache does not show it yet.
var errDeleting = errors.New("it is being deleted")

// add adds the finalizer before the first write to an adopted Secret, so that the operator's keys are removed from the
// Secret when the StsCredential is deleted. It reads the object uncached, because the cache drops the finalizers of other
// clients.
func (f finalizers) add(ctx context.Context, c *v1alpha1.StsCredential, secretName string) error {
	if controllerutil.ContainsFinalizer(c, v1alpha1.FinalizerAdoptedSecret) {
		return nil
	}
	err := f.addTo(ctx, c)
	if err == nil {
		return nil
	}
	why, transient := apiserver.Describe(err)
	if errors.Is(err, errDeleting) {
		why = errDeleting.Error()
	}
	failure := newError(v1alpha1.ReasonSecretWriteFailed,
		"Secret %s is not written to: the finalizer that an adopted Secret needs cannot be put on this StsCredential: %s", secretName, why)
	failure.recoverable = transient
	return failure
}

func (f finalizers) addTo(ctx context.Context, c *v1alpha1.StsCredential) error {
	current, err := f.getUncached(ctx, c)
	if err != nil {
		return err
	}
	if current == nil || !current.DeletionTimestamp.IsZero() {
		return errDeleting
	}
	version := current.ResourceVersion
	if err := f.patch(ctx, current, controllerutil.AddFinalizer); err != nil {
		return err
	}
	if c.ResourceVersion == version { // otherwise the status is not written: it is that of an older spec
		c.ResourceVersion = current.ResourceVersion
	}
	c.Finalizers = current.Finalizers
	return nil
}

// remove removes the finalizer from an object that is being deleted.
func (f finalizers) remove(ctx context.Context, c *v1alpha1.StsCredential) error {
	current, err := f.getUncached(ctx, c)
	if err != nil || current == nil || !controllerutil.ContainsFinalizer(current, v1alpha1.FinalizerAdoptedSecret) {
		return err
	}
	return client.IgnoreNotFound(f.patch(ctx, current, controllerutil.RemoveFinalizer))
}

// getUncached gets an object uncached; nil if it is gone, or another one has its name.
func (f finalizers) getUncached(ctx context.Context, c *v1alpha1.StsCredential) (*v1alpha1.StsCredential, error) {
	current := &v1alpha1.StsCredential{}
	if err := f.uncached.Get(ctx, client.ObjectKeyFromObject(c), current); err != nil {
		return nil, client.IgnoreNotFound(err)
	}
	if current.UID != c.UID {
		return nil, nil //nolint:nilnil // there is none
	}
	return current, nil
}

// patch changes the finalizer of an object that was read uncached, and fails if it has changed since.
func (f finalizers) patch(ctx context.Context, current *v1alpha1.StsCredential, change func(client.Object, string) bool) error {
	existing := current.DeepCopy()
	change(current, v1alpha1.FinalizerAdoptedSecret)
	return f.Patch(ctx, current, client.MergeFromWithOptions(existing, client.MergeFromWithOptimisticLock{}))
}
