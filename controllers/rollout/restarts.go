// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package rollout

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/apiserver"
	"github.com/stscredential/sts-credential-operator/internal/consumers"
	"github.com/stscredential/sts-credential-operator/internal/renewal"
	"github.com/stscredential/sts-credential-operator/internal/retry"
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

// restarter restarts workloads. It decides from the pods and the restart annotations on the workloads alone. So it continues
// after a crash, and restarts no workload twice.
type restarter struct {
	client.Client
	workloads workloads
	early     *renewal.Early
	events    events.EventRecorder
	results   *prometheus.CounterVec
}

// restartWorkloads restarts the workloads whose pods use superseded credentials, as spec.rollout selects them, and verifies
// that targets exist.
func (r restarter) restartWorkloads(ctx context.Context, s subject, finding *consumers.Finding) (result, error) {
	c := s.credential
	if !c.Restarts() || c.Spec.Suspend {
		return result{}, nil
	}
	terminating, err := isTerminating(ctx, r.Client, c.Namespace)
	switch {
	case err != nil:
		return result{}, fmt.Errorf("read namespace %s: %w", c.Namespace, err)
	case terminating:
		return result{}, nil
	case !s.rollouts:
		return result{reason: v1alpha1.ReasonRolloutsDisabled, message: consumers.RestartsDisabled}, nil
	case finding == nil || !s.usable():
		return result{}, nil
	}
	var all result
	for _, due := range startingWith(r.workloads.reads.next(c), finding.Due) {
		all = all.and(r.restartIfDue(ctx, s, due))
	}
	for _, target := range s.policy.Targets {
		verified, err := r.workloads.verify(ctx, r.Client, s, target)
		if err != nil {
			return result{}, err
		}
		all = all.and(verified)
	}
	if all.unread != (consumers.Workload{}) {
		r.workloads.reads.recent.Add(c.UID, all.unread, retry.Blocked)
	}
	return all, nil
}

// isTerminating reports whether a namespace is being deleted. It is read from the cache, which holds its metadata.
func isTerminating(ctx context.Context, cached client.Reader, namespace string) (bool, error) {
	metadata := &metav1.PartialObjectMetadata{}
	metadata.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	err := cached.Get(ctx, types.NamespacedName{Name: namespace}, metadata)
	return !metadata.DeletionTimestamp.IsZero(), err
}

// startingWith returns the workloads that are due, beginning with the first that the last reconcile did not read: each of
// them is read at some time, however many there are.
func startingWith(next consumers.Workload, due []consumers.Due) []consumers.Due {
	i := max(0, slices.IndexFunc(due, func(d consumers.Due) bool { return d.Workload == next }))
	return slices.Concat(due[i:], due[:i])
}

// restartIfDue restarts a workload, or returns when it will, or why it does not.
func (r restarter) restartIfDue(ctx context.Context, s subject, due consumers.Due) result {
	unfinished := untilLate(s, due)
	object, err := r.workloads.get(ctx, s.credential.Namespace, due.Workload)
	switch {
	case errors.Is(err, errReadDeferred):
		return unfinished.and(result{unread: due.Workload, after: readRetry})
	case apierrors.IsNotFound(err): // its pods are about to go, too
		return unfinished
	case err != nil:
		return unfinished.and(r.workloads.failed(due.Workload, "read", err))
	}
	state, err := consumers.StateOf(object)
	if err != nil {
		return unfinished.and(blockedBy(v1alpha1.ReasonStrategyUnsuited, "%s: %v", due.Workload, err))
	}
	step := due.Next(s.now, s.credential.SecretName(), s.issuance, s.policy, state)
	if step.BlockedReason != "" {
		unfinished = unfinished.and(blockedBy(step.BlockedReason, "%s", step.Message))
	}
	if !step.Restart {
		return unfinished.and(retryAfter(step.At.Sub(s.now)))
	}
	companions := companionsOf(ctx, r.Client, s, state)
	if soon := dueSoon(s, companions); len(soon) > 0 {
		for _, c := range soon { // so that one restart serves all that the workload reads
			r.early.Request(ctx, client.ObjectKeyFromObject(c), c.Status.RequestID)
		}
		return unfinished.and(retryAfter(companionRetry))
	}
	return unfinished.and(r.restart(ctx, s, object, due, state, companions))
}

// untilLate returns the result for a workload whose pods are not replaced yet: it is blocked once they are late.
func untilLate(s subject, due consumers.Due) result {
	if at := due.LateAt(s.issuance); s.now.Before(at) {
		return retryAfter(at.Sub(s.now))
	}
	return blockedBy(v1alpha1.ReasonRolloutUnfinished,
		"%s has not replaced pods in time: %s. See why with kubectl describe, or delete them.", due.Workload, s.listed(due.Pods))
}

// restart patches the workload with a restart annotation that names what its pods will read.
func (r restarter) restart(
	ctx context.Context, s subject, object *unstructured.Unstructured, due consumers.Due, state consumers.State, companions []companion,
) result {
	annotation := consumers.RestartAnnotation{At: s.now, For: map[string]string{s.issuance.Credential: s.issuance.ID}}
	for _, c := range companions {
		if c.issuance != "" && len(annotation.For) < maxRestartedCredentials {
			annotation.For[c.credential.Name] = c.issuance
		}
	}
	patch := due.Workload.RestartPatch(s.issuance, annotation, state, object.GetResourceVersion())
	switch err := r.Patch(ctx, object, client.RawPatch(types.MergePatchType, patch)); {
	case apiserver.IsConflict(err):
		return retryAfter(retry.WriteConflict)
	case err != nil:
		return r.workloads.failed(due.Workload, "patch", err)
	}
	r.results.WithLabelValues(v1alpha1.ReasonRestarted).Inc()
	r.events.Eventf(s.credential, object, corev1.EventTypeNormal, v1alpha1.ReasonRestarted, "Restart",
		"%s is restarted: pods use superseded credentials from Secret %s: %s", due.Workload, s.credential.SecretName(), s.listed(due.Pods))
	return result{}
}

// companion is another StsCredential whose Secret a workload reads, or that it was restarted for.
type companion struct {
	credential *v1alpha1.StsCredential
	read       bool   // the workload reads its Secret
	issuance   string // the ID of the one in its Secret; empty if that is not known
}

// companionsOf finds the companions of an StsCredential in the cache. Those whose Secrets the workload reads come first.
func companionsOf(ctx context.Context, cached client.Reader, s subject, state consumers.State) (found []companion) {
	get := func(name string, o client.Object) bool {
		return cached.Get(ctx, types.NamespacedName{Namespace: s.credential.Namespace, Name: name}, o) == nil
	}
	var names []string
	for _, name := range state.Holds {
		held := &corev1.Secret{}
		if get(name, held) {
			names = append(names, secret.CredentialName(held))
		}
	}
	read := len(names)
	names = append(names, slices.Sorted(maps.Keys(state.Restarted.For))...)
	for i, name := range names {
		c, held := &v1alpha1.StsCredential{}, &corev1.Secret{}
		if name == s.credential.Name || slices.Contains(names[:i], name) || !get(name, c) {
			continue
		}
		other := companion{credential: c, read: i < read}
		if get(c.SecretName(), held) && secret.Owned(held, c) {
			if record, _ := secret.Read(held); record != nil {
				other.issuance = consumers.ID(record.RequestID, record.AccessKeyID)
			}
		}
		found = append(found, other)
	}
	return found
}

// dueSoon returns the companions whose Secrets the workload reads that are renewed soon; none once companionWait has passed
// since the renewal. A companion counts that restarts workloads and works.
func dueSoon(s subject, companions []companion) (soon []*v1alpha1.StsCredential) {
	if !s.now.Before(s.record.WrittenAt.Add(companionWait)) {
		return nil
	}
	for _, other := range companions {
		c, status := other.credential, other.credential.Status
		if !other.read || !c.Restarts() || c.Spec.Suspend || status.IssuedAt == nil || status.ExpiresAt == nil || status.RenewAt == nil || status.RequestID == "" {
			continue
		}
		works := meta.IsStatusConditionTrue(status.Conditions, v1alpha1.ConditionReady) && !meta.IsStatusConditionTrue(status.Conditions, v1alpha1.ConditionRenewalFailing)
		if works && renewal.DueSoon(s.now.Add(s.skew), status.IssuedAt.Time, status.ExpiresAt.Time, status.RenewAt.Time) {
			soon = append(soon, c)
		}
	}
	return soon
}
