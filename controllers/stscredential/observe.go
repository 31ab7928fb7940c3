// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stscredential

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/secret"
)

// conflictRetry is when a Secret that is not ours is looked at again: it sends us no events.
const conflictRetry = 5 * time.Minute

// observe reads the Secret, and takes it in if it is ours.
func (r *Reconciler) observe(ctx context.Context, p *pass) error {
	found, err := r.look(ctx, p)
	switch {
	case err != nil || found == nil:
		return err
	case secret.Owned(found, p.credential):
		p.saw(found)
		return r.spareIdentities(ctx, p)
	case !p.credential.Spec.Suspend: // which does not want it
		return r.contest(ctx, p, stripped(found))
	}
	return nil
}

// look gets the Secret from the cache, or uncached where the cache shows none or an older one than was written last. It
// returns nil if there is none. A first issuance needs no uncached read: if a Secret stands in the way, its create fails.
func (r *Reconciler) look(ctx context.Context, p *pass) (*corev1.Secret, error) {
	c := p.credential
	key := types.NamespacedName{Namespace: c.Namespace, Name: c.SecretName()}
	found := &corev1.Secret{}
	err := r.Get(ctx, key, found)
	switch {
	case err == nil && !p.memo.secretLags(found):
		return found, nil
	case err == nil:
		return r.lookLive(ctx, key)
	case client.IgnoreNotFound(err) != nil:
		return nil, err
	case p.idle() || p.firstIssuance():
		return nil, nil
	}
	return r.lookLive(ctx, key)
}

// firstIssuance reports whether nothing was issued for this object as far as is known, and no create has met a Secret.
func (p *pass) firstIssuance() bool {
	ready := meta.FindStatusCondition(p.credential.Status.Conditions, v1alpha1.ConditionReady)
	waiting := ready == nil || ready.Reason == v1alpha1.ReasonIssuing && p.credential.Status.AccessKeyID == ""
	return waiting && !p.memo.secretInTheWay && p.memo.secretVersion.Load() == nil
}

// idle: nothing was issued and nothing will be.
func (p *pass) idle() bool {
	return (p.trouble != nil || p.credential.Spec.Suspend) && p.credential.Status.AccessKeyID == ""
}

// lookLive reads a Secret past the cache; nil if there is none.
func (r *Reconciler) lookLive(ctx context.Context, key types.NamespacedName) (*corev1.Secret, error) {
	found := &corev1.Secret{}
	if err := r.Live.Get(ctx, key, found); err != nil {
		return nil, client.IgnoreNotFound(err)
	}
	return found, nil
}

// saw takes in a Secret of ours.
func (p *pass) saw(s *corev1.Secret) {
	p.seen = stripped(s)
	p.record, p.intact = secret.Read(p.seen)
}

func stripped(s *corev1.Secret) *corev1.Secret {
	if s != nil {
		_, _ = secret.Strip(s) // in place; of a Secret, it cannot fail
	}
	return s
}

// untouched reports whether the Secret is one that its owner consents to, and to which nothing has been written yet.
func (p *pass) untouched() bool { return secret.Adopted(p.seen) && p.record == nil }

// shaped makes what is wanted fit the Secret that was seen.
func (p *pass) shaped(want *corev1.Secret) *corev1.Secret {
	if p.seen != nil && secret.Adopted(p.seen) {
		return secret.ForAdopted(want)
	}
	return want
}
