// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stscredential

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/secret"
)

// conflictRetry is when a Secret that is not this StsCredential's is read again: no event comes for it.
const conflictRetry = 5 * time.Minute

// existing is the Secret of an StsCredential as it is.
type existing struct {
	secret    *corev1.Secret // stripped; nil if there is none of this StsCredential
	record    *secret.Record // nil if there is none that is whole
	intact    bool           // data and record are as the operator wrote them
	takenOver bool           // it was another StsCredential's, which does not want it any more; nothing was written to it yet
	written   bool           // by this reconcile
}

// readExisting reads the record of a Secret of this StsCredential.
func readExisting(s *corev1.Secret) existing {
	e := existing{secret: stripped(s)}
	e.record, e.intact = secret.Read(e.secret)
	return e
}

// isUnmodified reports whether the Secret is one that its owner consents to, and to which nothing has been written yet.
func (e existing) isUnmodified() bool { return secret.Adopted(e.secret) && e.record == nil }

// adopted reports whether there is a Secret, and it was there before.
func (e existing) adopted() bool { return e.secret != nil && secret.Adopted(e.secret) }

// fitted makes the desired Secret fit the one that exists.
func (e existing) fitted(want *corev1.Secret) *corev1.Secret {
	if e.adopted() {
		return secret.ForAdopted(want)
	}
	return want
}

// observe gets the Secret. blocked is why nothing will be issued, nil if nothing stands against it. The error is
// SecretConflict for a Secret that this StsCredential may not write to.
func (r *Reconciler) observe(ctx context.Context, t target, blocked *reconcileError) (existing, error) {
	found, err := r.getSecret(ctx, t, blocked)
	if err != nil {
		return existing{}, err
	}
	switch {
	case found == nil:
		return existing{}, nil
	case secret.Owned(found, t.credential):
		e := readExisting(found)
		return e, checkNoIdentity(ctx, r, t, e)
	case blocked != nil || t.credential.Spec.Suspend:
		return existing{}, nil //nolint:nilerr // nothing is written to it: blocked is reported already
	}
	return r.takeOver(ctx, t, stripped(found))
}

// getSecret gets the Secret from the cache, or uncached where the cache shows none or an older one than was written last. It
// returns nil if there is none. A first issuance needs no uncached read: if a Secret stands in the way, its create fails.
func (r *Reconciler) getSecret(ctx context.Context, t target, blocked *reconcileError) (*corev1.Secret, error) {
	c := t.credential
	key := types.NamespacedName{Namespace: c.Namespace, Name: c.SecretName()}
	found := &corev1.Secret{}
	err := r.Get(ctx, key, found)
	idle := (blocked != nil || c.Spec.Suspend) && c.Status.AccessKeyID == "" // nothing was issued, and nothing will be
	switch {
	case err == nil && !t.state.secretLags(found):
		return found, nil
	case err == nil:
		return r.secrets().getUncached(ctx, key)
	case client.IgnoreNotFound(err) != nil:
		return nil, err
	case idle || t.firstIssuance():
		return nil, nil
	}
	return r.secrets().getUncached(ctx, key)
}

// firstIssuance reports whether nothing was issued for this object as far as is known, and no create has met a Secret.
func (t target) firstIssuance() bool {
	ready := meta.FindStatusCondition(t.credential.Status.Conditions, v1alpha1.ConditionReady)
	waiting := ready == nil || ready.Reason == v1alpha1.ReasonIssuing && t.credential.Status.AccessKeyID == ""
	return waiting && !t.state.secretInTheWay && t.state.secretVersion.Load() == nil
}

// secrets reads and writes Secrets.
type secrets struct {
	client.Client
	live  client.Reader
	clock clock.PassiveClock
	sts   STS
}

func (r *Reconciler) secrets() secrets { return secrets{r.Client, r.Live, r.Clock, r.STS} }

// getUncached reads a Secret past the cache; nil if there is none.
func (s secrets) getUncached(ctx context.Context, key types.NamespacedName) (*corev1.Secret, error) {
	found := &corev1.Secret{}
	if err := s.live.Get(ctx, key, found); err != nil {
		return nil, client.IgnoreNotFound(err)
	}
	return found, nil
}

func stripped(s *corev1.Secret) *corev1.Secret {
	if s != nil {
		_, _ = secret.Strip(s) // in place; of a Secret, it cannot fail
	}
	return s
}
