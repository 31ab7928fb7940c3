// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package rollout

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/consumers"
	"github.com/stscredential/sts-credential-operator/internal/secret"
)

// observe reads the Secret of an StsCredential from the cache.
func observe(ctx context.Context, cached client.Reader, c *v1alpha1.StsCredential, skew time.Duration, rollouts bool) (subject, error) {
	s := subject{credential: c, policy: consumers.RestartPolicy{Duration: c.Duration()}, skew: skew, rollouts: rollouts}
	if rollouts {
		s.policy.Auto, s.policy.Targets = c.Spec.Rollout.Mode == v1alpha1.RolloutAuto, targetsOf(c)
	}
	found := &corev1.Secret{}
	if err := cached.Get(ctx, types.NamespacedName{Namespace: c.Namespace, Name: c.SecretName()}, found); err != nil {
		return s, client.IgnoreNotFound(err)
	}
	record, intact := secret.Read(found)
	if !intact || !secret.Owned(found, c) {
		return s, nil
	}
	s.record, s.issuance = record, consumers.IssuanceOf(c.Name, &record.Record, skew)
	return s, nil
}
