// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package rollout

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/apiserver"
	"github.com/stscredential/sts-credential-operator/internal/consumers"
	"github.com/stscredential/sts-credential-operator/internal/renewal"
	"github.com/stscredential/sts-credential-operator/internal/retry"
)

// restarter restarts workloads. It decides from the pods and the restart annotations on the workloads alone. So it continues
// after a crash, and restarts no workload twice.
type restarter struct {
	client.Client
	workloads  workloads
	targets    targets
	companions companions
	early      *renewal.Early
	clock      clock.PassiveClock
	events     events.EventRecorder
	results    *prometheus.CounterVec
}

// restartWorkloads restarts the workloads whose pods use superseded credentials, as spec.rollout selects them, and verifies
// that targets exist.
func (r restarter) restartWorkloads(ctx context.Context, s subject, finding *consumers.Finding, reads *reads) (result, error) {
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
		return result{blocked: map[string]string{v1alpha1.ReasonRolloutsDisabled: consumers.RestartsDisabled}}, nil
	case finding == nil || !s.usable(r.clock.Now()):
		return result{}, nil
	}
	known := reads.of(s)
	var all result
	for _, due := range startingWith(known.next, finding.Due) {
		all = all.and(r.restartIfDue(ctx, s, due))
	}
	for _, target := range s.policy.Targets {
		verified, err := r.targets.verify(ctx, c.Namespace, target, known)
		if err != nil {
			return result{}, err
		}
		all = all.and(verified)
	}
	if all.unread != (consumers.Workload{}) {
		known.next = all.unread
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
	i := slices.IndexFunc(due, func(d consumers.Due) bool { return d.Workload == next })
	if i <= 0 {
		return due
	}
	return slices.Concat(due[i:], due[:i])
}

// restartIfDue restarts a workload, or says when or why not.
func (r restarter) restartIfDue(ctx context.Context, s subject, due consumers.Due) result {
	now := r.clock.Now()
	unfinished := untilLate(s, due, now)
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
		return unfinished.and(blockedBy(v1alpha1.ReasonStrategyUnsuited, fmt.Sprintf("%s: %v", due.Workload, err)))
	}
	step := due.Next(now, s.credential.SecretName(), s.issuance, s.policy, state)
	blocked := result{}
	if step.BlockedReason != "" {
		blocked = blockedBy(step.BlockedReason, step.Message)
	}
	if !step.Restart {
		return unfinished.and(blocked).and(retryAfter(step.At.Sub(now)))
	}
	if soon := r.companions.dueSoon(ctx, s, state, r.clock.Now()); len(soon) > 0 {
		r.renewEarly(ctx, soon)
		return unfinished.and(blocked).and(retryAfter(companionRetry))
	}
	return unfinished.and(blocked).and(r.restart(ctx, s, object, due, state))
}

// untilLate returns the result for a workload whose pods are not replaced yet: it is blocked once they are late.
func untilLate(s subject, due consumers.Due, now time.Time) result {
	late, at := due.Late(now, s.issuance)
	if !late {
		return retryAfter(at.Sub(now))
	}
	return blockedBy(v1alpha1.ReasonRolloutUnfinished, fmt.Sprintf(
		"%s has not replaced pods in time: %s. See why with kubectl describe, or delete them.", due.Workload, s.listed(due.Pods)))
}

// renewEarly requests early renewals, so that one restart serves all that a workload reads.
func (r restarter) renewEarly(ctx context.Context, soon []*v1alpha1.StsCredential) {
	for _, c := range soon {
		r.early.Request(ctx, client.ObjectKeyFromObject(c), c.Status.RequestID)
	}
}

// restart patches the workload with a restart annotation that names what its pods will read.
func (r restarter) restart(ctx context.Context, s subject, object *unstructured.Unstructured, due consumers.Due, state consumers.State) result {
	annotation := consumers.RestartAnnotation{At: r.clock.Now(), For: r.companions.issuances(ctx, s, state)}
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
