// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stscredential

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/secret"
)

// takeOver decides about a stripped Secret that is not this StsCredential's: it takes over one that the operator made for an
// StsCredential that does not want it any more. Everything else is a conflict. Nothing is written before STS has answered.
func (r *Reconciler) takeOver(ctx context.Context, t target, found *corev1.Secret) (existing, error) {
	free, err := superseded(ctx, r.Live, found)
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

// superseded reports whether the StsCredential that a stripped Secret was made for is gone or going, or names another Secret.
// It is read live: the cache may be behind, or select others.
func superseded(ctx context.Context, live client.Reader, s *corev1.Secret) (bool, error) {
	name := secret.Holder(s)
	if name == "" {
		return false, nil
	}
	holder := &v1alpha1.StsCredential{}
	if err := live.Get(ctx, types.NamespacedName{Namespace: s.Namespace, Name: name}, holder); err != nil {
		if client.IgnoreNotFound(err) == nil {
			return true, nil
		}
		return false, fmt.Errorf("read StsCredential %s/%s: %w", s.Namespace, name, err)
	}
	return !holder.DeletionTimestamp.IsZero() || holder.SecretName() != s.Name, nil
}
