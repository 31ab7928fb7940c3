// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package rollout

import (
	"fmt"
	"time"

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
	skew     time.Duration // by how much the clock that expirations follow is ahead of the local one
	rollouts bool          // workloads may be restarted (--rollouts)
}

func (s subject) key() types.NamespacedName { return client.ObjectKeyFromObject(s.credential) }

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
// reports it. now is by the local clock.
func (s subject) usable(now time.Time) bool {
	return meta.IsStatusConditionTrue(s.credential.Status.Conditions, v1alpha1.ConditionReady) &&
		now.Add(s.skew).Before(s.record.ExpiresAt)
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
