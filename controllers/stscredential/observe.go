// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stscredential

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/internal/secret"
)

// observe gets the Secret. blocked is why nothing will be issued, nil if nothing stands against it. The error is
// SecretConflict for a Secret that this StsCredential may not write to.
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
	return takeOver(ctx, s.live, t, stripped(found))
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
