// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package rollout

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/consumers"
	"github.com/stscredential/sts-credential-operator/internal/secret"
)

// subject is an StsCredential and what its Secret holds. It does not change during a reconcile.
type subject struct {
	credential *v1alpha1.StsCredential
	// record is that of the Secret; nil if there is no Secret of this StsCredential, or if its record is not intact.
	record   *secret.Record
	issuance consumers.Issuance
	policy   consumers.RestartPolicy
	now      time.Time     // by the local clock
	skew     time.Duration // by how much the clock that expirations follow is ahead of the local one
	rollouts bool          // workloads may be restarted (--rollouts)
}

// observe reads the Secret of an StsCredential from the cache.
func observe(ctx context.Context, cached client.Reader, c *v1alpha1.StsCredential, now time.Time, skew time.Duration, rollouts bool) (subject, error) {
	s := subject{credential: c, policy: consumers.RestartPolicy{Duration: c.Duration()}, now: now, skew: skew, rollouts: rollouts}
	if rollouts {
		s.policy.Auto, s.policy.Targets = c.Spec.Rollout.Mode == v1alpha1.RolloutAuto, targetsOf(c)
	}
	found := &corev1.Secret{}
	if err := cached.Get(ctx, types.NamespacedName{Namespace: c.Namespace, Name: c.SecretName()}, found); err != nil {
		return s, client.IgnoreNotFound(err)
	}
	if record, intact := secret.Read(found); intact && secret.Owned(found, c) {
		s.record, s.issuance = record, consumers.IssuanceOf(c.Name, &record.Record, skew)
	}
	return s, nil
}

// evaluate returns which pods read what the Secret holds, and which of them are stale; nil if the Secret holds nothing.
func evaluate(ctx context.Context, cached client.Reader, s subject) (*consumers.Finding, error) {
	if s.record == nil {
		return nil, nil //nolint:nilnil // there is nothing to evaluate
	}
	indexes := []client.MatchingFields{{byRead: s.credential.SecretName()}}
	for _, target := range targetsOf(s.credential) {
		indexes = append(indexes, client.MatchingFields{byWorkload: target.String()})
	}
	found := map[string]consumers.Pod{}
	for _, index := range indexes {
		var pods corev1.PodList
		if err := cached.List(ctx, &pods, client.InNamespace(s.credential.Namespace), index, client.UnsafeDisableDeepCopy); err != nil {
			return nil, fmt.Errorf("list the pods of namespace %s: %w", s.credential.Namespace, err)
		}
		for i := range pods.Items {
			found[pods.Items[i].Name] = consumers.PodOf(&pods.Items[i])
		}
	}
	finding := consumers.Evaluate(s.now, s.credential.SecretName(), s.issuance, s.policy, slices.Collect(maps.Values(found)))
	return &finding, nil
}

// reported reports whether the status is up to date with the spec and the Secret. Until then nothing is written or
// restarted: during a renewal, the cached Secret and the cached status can be of different issuances.
func (s subject) reported() bool {
	status := s.credential.Status
	if status.ObservedGeneration != s.credential.Generation || (s.record == nil) != (status.IssuedAt == nil) {
		return false
	}
	return s.record == nil || status.IssuedAt.Time.Equal(s.record.IssuedAt) && status.RequestID == s.record.RequestID
}

// usable reports whether the Secret holds credentials for the current spec that work now, as the credential controller
// reports it.
func (s subject) usable() bool {
	return meta.IsStatusConditionTrue(s.credential.Status.Conditions, v1alpha1.ConditionReady) &&
		s.now.Add(s.skew).Before(s.record.ExpiresAt)
}

// stsTime converts a time of the local clock to STS's clock.
func (s subject) stsTime(local time.Time) time.Time {
	return local.Add(s.skew).UTC().Truncate(time.Second)
}

// listed lists stale pods, and when the first of their credentials expire, as far as that is known.
func (s subject) listed(pods []consumers.StalePod) string {
	names := make([]string, len(pods))
	for i, pod := range pods {
		names[i] = pod.Name
	}
	if pods[0].Held.Unknown() {
		return fmt.Sprintf("%s (%s started before the credentials were issued)", consumers.Listed(names), pods[0].Name)
	}
	return fmt.Sprintf("%s (until %s)", consumers.Listed(names), s.stsTime(pods[0].Held.ExpiresAt).Format(time.RFC3339))
}
