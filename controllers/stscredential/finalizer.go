// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stscredential

import (
	"context"
	"errors"
	"fmt"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/apiserver"
	"github.com/stscredential/sts-credential-operator/internal/secret"
)

// bind adds the finalizer before the first write to an adopted Secret, so that what is written there is taken out again
// when the object goes, whatever crashes in between.
func (r *Reconciler) bind(ctx context.Context, p *pass) *trouble {
	if p.seen == nil || !secret.Adopted(p.seen) {
		return nil
	}
	return r.addFinalizer(ctx, p, p.seen.Name)
}

// rebind puts the finalizer back where the Secret is an adopted one that was written to before, and somebody has removed it.
func (r *Reconciler) rebind(ctx context.Context, p *pass) {
	if p.seen != nil && !p.ending && secret.Adopted(p.seen) && !p.untouched() {
		r.restoreFinalizer(ctx, p, p.seen.Name)
	}
}

// restoreFinalizer puts the finalizer back that an adopted Secret needs.
func (r *Reconciler) restoreFinalizer(ctx context.Context, p *pass, name string) {
	t := r.addFinalizer(ctx, p, name)
	switch {
	case t == nil:
		return
	case t.passing:
		t.retry = missedRetry
	default:
		t.retry = conflictRetry
	}
	p.fail(*t)
}

// errReplaced is returned for an object that is being deleted, or was, though the cache does not show it yet.
var errReplaced = errors.New("it is being deleted")

// addFinalizer adds the finalizer to the object as the API server has it: the cached one may lack finalizers of others.
func (r *Reconciler) addFinalizer(ctx context.Context, p *pass, name string) *trouble {
	c := p.credential
	if controllerutil.ContainsFinalizer(c, v1alpha1.FinalizerAdoptedSecret) {
		return nil
	}
	live, err := r.liveCredential(ctx, c)
	if err == nil && (live == nil || !live.DeletionTimestamp.IsZero()) {
		err = errReplaced
	}
	if err == nil {
		seen := live.ResourceVersion
		if err = r.patchFinalizers(ctx, live, controllerutil.AddFinalizer); err == nil {
			if c.ResourceVersion == seen { // otherwise the status is not written: it was worked out for an older spec
				c.ResourceVersion = live.ResourceVersion
			}
			c.Finalizers = live.Finalizers
			p.memo.statusVersion, p.memo.statusWritten = live.ResourceVersion, r.Clock.Now()
			return nil
		}
	}
	why, passing := apiserver.Describe(err)
	if errors.Is(err, errReplaced) {
		why = errReplaced.Error()
	}
	return &trouble{reason: v1alpha1.ReasonSecretWriteFailed, passing: passing, message: fmt.Sprintf(
		"Secret %s is not written to: the finalizer that an adopted Secret needs cannot be put on this StsCredential: %s", name, why)}
}

// removeFinalizer lets an object go that is being deleted.
func (r *Reconciler) removeFinalizer(ctx context.Context, c *v1alpha1.StsCredential) error {
	live, err := r.liveCredential(ctx, c)
	if err != nil || live == nil || !controllerutil.ContainsFinalizer(live, v1alpha1.FinalizerAdoptedSecret) {
		return err
	}
	return client.IgnoreNotFound(r.patchFinalizers(ctx, live, controllerutil.RemoveFinalizer))
}

// liveCredential reads an object past the cache; nil if it is gone, or another one has its name.
func (r *Reconciler) liveCredential(ctx context.Context, c *v1alpha1.StsCredential) (*v1alpha1.StsCredential, error) {
	live := &v1alpha1.StsCredential{}
	if err := r.Live.Get(ctx, client.ObjectKeyFromObject(c), live); err != nil {
		return nil, client.IgnoreNotFound(err)
	}
	if live.UID != c.UID {
		return nil, nil //nolint:nilnil // there is none
	}
	return live, nil
}

// patchFinalizers changes the finalizer of an object that was read live, and fails if it has changed since.
func (r *Reconciler) patchFinalizers(ctx context.Context, live *v1alpha1.StsCredential, change func(client.Object, string) bool) error {
	seen := live.DeepCopy()
	change(live, v1alpha1.FinalizerAdoptedSecret)
	return r.Patch(ctx, live, lockedPatch(seen))
}

// lockedPatch is the difference to an object as it was seen, and fails if it has changed.
func lockedPatch(seen client.Object) client.Patch {
	return client.MergeFromWithOptions(seen, client.MergeFromWithOptimisticLock{})
}

// release lets an object that is being deleted go, once what was written to Secrets that it adopted is taken out. Its other
// Secrets are the garbage collector's.
func (r *Reconciler) release(ctx context.Context, c *v1alpha1.StsCredential) error {
	if !controllerutil.ContainsFinalizer(c, v1alpha1.FinalizerAdoptedSecret) {
		return nil
	}
	if c.Spec.Secret.DeletionPolicy != v1alpha1.DeletionPolicyRetain {
		if err := r.releaseSecrets(ctx, c); err != nil {
			return err
		}
	}
	return r.removeFinalizer(ctx, c)
}
