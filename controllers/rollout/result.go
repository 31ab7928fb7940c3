// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package rollout

import (
	"maps"
	"slices"
	"time"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/consumers"
	"github.com/stscredential/sts-credential-operator/internal/eventrecorder"
	"github.com/stscredential/sts-credential-operator/internal/retry"
)

// blockedReasons are why workloads are not restarted, in the order of precedence.
var blockedReasons = []string{
	v1alpha1.ReasonRolloutUnfinished, v1alpha1.ReasonRolloutsDisabled, v1alpha1.ReasonRolloutForbidden, v1alpha1.ReasonTargetNotFound,
	v1alpha1.ReasonWorkloadPaused, v1alpha1.ReasonStrategyUnsuited, v1alpha1.ReasonRolloutRefused,
}

// result is the result of restarting one or several workloads.
type result struct {
	// blocked says why workloads are not restarted, by reason.
	blocked map[string]string
	// unread is the first workload that was not read this time; zero if all were.
	unread consumers.Workload
	// after is when to reconcile again; 0 if only an event calls for it.
	after time.Duration
}

// retryAfter is the result of a step that goes on later; a time that has passed does not count.
func retryAfter(after time.Duration) result { return result{after: max(0, after)} }

// blockedBy returns the result for a workload that cannot be restarted now. The operator does not watch workloads, so it
// retries.
func blockedBy(reason, message string) result {
	return result{blocked: map[string]string{reason: eventrecorder.Bounded(message)}, after: retry.Blocked}
}

// and merges two results. If both have a message for the same reason, that of r is kept.
func (r result) and(other result) result {
	joined := result{blocked: maps.Clone(other.blocked), unread: r.unread, after: soonest(r.after, other.after)}
	if joined.blocked == nil {
		joined.blocked = map[string]string{}
	}
	maps.Copy(joined.blocked, r.blocked)
	if joined.unread == (consumers.Workload{}) {
		joined.unread = other.unread
	}
	return joined
}

// reason returns the reason with the highest precedence why workloads are not restarted; empty if there is none.
func (r result) reason() string {
	i := slices.IndexFunc(blockedReasons, func(reason string) bool { return r.blocked[reason] != "" })
	if i < 0 {
		return ""
	}
	return blockedReasons[i]
}

// soonest is the shorter of two delays, where 0 means none.
func soonest(a, b time.Duration) time.Duration {
	if a <= 0 || b <= 0 {
		return max(a, b, 0)
	}
	return min(a, b)
}
