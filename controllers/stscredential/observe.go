// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stscredential

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

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

// look reads the Secret from the cache, or live where the cache shows none or an older one than was written last; nil if
// there is none.
func (r *Reconciler) look(ctx context.Context, p *pass) (*corev1.Secret, error) {
	c := p.credential
	key := types.NamespacedName{Namespace: c.Namespace, Name: c.SecretName()}
	known := p.memo.absent == key.Name
	p.memo.absent = ""
	found := &corev1.Secret{}
	err := r.Get(ctx, key, found)
	switch {
	case err == nil && !p.memo.secretLags(found):
		return found, nil
	case err == nil:
		return r.lookLive(ctx, key)
	case client.IgnoreNotFound(err) != nil:
		return nil, err
	case p.idle():
		return nil, nil
	}
	if !known {
		if found, err = r.lookLive(ctx, key, p.lookOptions()); err != nil || found != nil {
			return found, err
		}
	}
	p.absent = key.Name
	return nil, nil
}

// idle: nothing was issued and nothing will be.
func (p *pass) idle() bool {
	return (p.trouble != nil || p.credential.Spec.Suspend) && p.credential.Status.AccessKeyID == ""
}

// lookOptions are how to look for a Secret that the cache does not show. Where nothing was issued yet, as far as is known, the API
// server may answer from a cache of its own, at half the cost: what that misses, being a moment behind, the write meets.
func (p *pass) lookOptions() *client.GetOptions {
	if p.credential.Status.AccessKeyID != "" || p.memo.secretVersion.Load() != nil {
		return &client.GetOptions{}
	}
	return &client.GetOptions{Raw: &metav1.GetOptions{ResourceVersion: "0"}}
}

// lookLive reads a Secret past the cache; nil if there is none.
func (r *Reconciler) lookLive(ctx context.Context, key types.NamespacedName, how ...client.GetOption) (*corev1.Secret, error) {
	found := &corev1.Secret{}
	if err := r.Live.Get(ctx, key, found, how...); err != nil {
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
