// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package rollout

import (
	"context"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/consumers"
	"github.com/stscredential/sts-credential-operator/internal/renewal"
	"github.com/stscredential/sts-credential-operator/internal/secret"
)

const (
	// companionWait is how long after a renewal a workload waits for the renewals of what else it reads. companionRetry is the
	// delay before it is read again meanwhile.
	companionWait  = 30 * time.Second
	companionRetry = time.Second
	// maxRestartedCredentials bounds how many StsCredentials a restart is noted for.
	maxRestartedCredentials = 16
)

// companions finds, in the cache, the other StsCredentials whose Secrets a workload reads.
type companions struct{ client.Reader }

// dueSoon returns the companions that are due soon; none once companionWait has passed since the renewal.
func (c companions) dueSoon(ctx context.Context, s subject, state consumers.State, now time.Time) (soon []*v1alpha1.StsCredential) {
	if !now.Before(s.record.WrittenAt.Add(companionWait)) {
		return nil
	}
	for _, name := range c.names(ctx, s.credential.Namespace, state.Holds) {
		other := c.get(ctx, s.credential.Namespace, name)
		if name == s.credential.Name || other == nil || !renewsSoon(other, now.Add(s.skew)) {
			continue
		}
		soon = append(soon, other)
	}
	return soon
}

// renewsSoon reports whether a credential restarts workloads, works, and is due soon.
func renewsSoon(c *v1alpha1.StsCredential, now time.Time) bool {
	s := c.Status
	if !c.Restarts() || c.Spec.Suspend || s.IssuedAt == nil || s.ExpiresAt == nil || s.RenewAt == nil || s.RequestID == "" {
		return false
	}
	healthy := meta.IsStatusConditionTrue(s.Conditions, v1alpha1.ConditionReady) && !meta.IsStatusConditionTrue(s.Conditions, v1alpha1.ConditionRenewalFailing)
	return healthy && renewal.DueSoon(now, s.IssuedAt.Time, s.ExpiresAt.Time, s.RenewAt.Time)
}

// issuances returns the present issuance of each credential that the workload reads, is restarted for, or was, by name.
func (c companions) issuances(ctx context.Context, s subject, state consumers.State) map[string]string {
	present := map[string]string{s.issuance.Credential: s.issuance.ID}
	names := append(c.names(ctx, s.credential.Namespace, state.Holds), slices.Collect(maps.Keys(state.Restarted.For))...)
	for _, name := range names {
		other := c.get(ctx, s.credential.Namespace, name)
		if other == nil || name == s.credential.Name || len(present) == maxRestartedCredentials {
			continue
		}
		held := &corev1.Secret{}
		if c.Get(ctx, types.NamespacedName{Namespace: other.Namespace, Name: other.SecretName()}, held) != nil {
			continue
		}
		if record, _ := secret.Read(held); record != nil && secret.Owned(held, other) {
			present[name] = consumers.ID(record.RequestID, record.AccessKeyID)
		}
	}
	return present
}

// names returns the names of the StsCredentials whose Secrets these are.
func (c companions) names(ctx context.Context, namespace string, secrets []string) (names []string) {
	for _, name := range secrets {
		held := &corev1.Secret{}
		if c.Get(ctx, types.NamespacedName{Namespace: namespace, Name: name}, held) == nil {
			if name := secret.CredentialName(held); name != "" {
				names = append(names, name)
			}
		}
	}
	return names
}

// get returns an StsCredential; nil if there is none.
func (c companions) get(ctx context.Context, namespace, name string) *v1alpha1.StsCredential {
	found := &v1alpha1.StsCredential{}
	if c.Get(ctx, types.NamespacedName{Namespace: namespace, Name: name}, found) != nil {
		return nil
	}
	return found
}
