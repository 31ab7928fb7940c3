// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package rollout

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/consumers"
	"github.com/stscredential/sts-credential-operator/internal/retry"
)

// targets verifies that the workloads of spec.rollout.targets exist.
type targets struct {
	cached    client.Reader
	workloads workloads
	clock     clock.PassiveClock
}

// verify reports a target that does not exist. A target with pods is not read, because it exists.
func (t targets) verify(ctx context.Context, namespace string, target consumers.Workload, known *objectReads) (result, error) {
	var pods corev1.PodList
	err := t.cached.List(ctx, &pods, client.InNamespace(namespace), client.MatchingFields{byWorkload: target.String()}, client.Limit(1), client.UnsafeDisableDeepCopy)
	if err != nil || len(pods.Items) > 0 {
		return result{}, err
	}
	holds, err := t.get(ctx, namespace, target, known)
	switch {
	case err == nil:
		return result{}, nil
	case errors.Is(err, errReadDeferred):
		return result{unread: target, after: holds}, nil
	case apierrors.IsNotFound(err):
		missing := fmt.Sprintf("spec.rollout.targets: there is no %s in namespace %s. Correct the name, or create it.", target, namespace)
		return blockedBy(v1alpha1.ReasonTargetNotFound, missing).and(retryAfter(holds)), nil
	}
	return t.workloads.failed(target, "read", err).and(retryAfter(holds)), nil
}

// get gets a target uncached, once for each generation of the spec and then every few minutes. In between it returns the last
// outcome, and how long that holds.
func (t targets) get(ctx context.Context, namespace string, target consumers.Workload, known *objectReads) (time.Duration, error) {
	now := t.clock.Now()
	if last, ok := known.targetReads[target]; ok && now.Before(last.until) {
		return last.until.Sub(now), last.err
	}
	_, err := t.workloads.get(ctx, namespace, target)
	if errors.Is(err, errReadDeferred) {
		return readRetry, err
	}
	known.targetReads[target] = targetRead{err: err, until: now.Add(targetHolds(err))}
	return targetHolds(err), err
}

// targetHolds returns how long the outcome of a read holds.
func targetHolds(err error) time.Duration {
	if err == nil || apierrors.IsNotFound(err) || apierrors.IsForbidden(err) || meta.IsNoMatchError(err) {
		return retry.Blocked
	}
	return transientRetry
}
