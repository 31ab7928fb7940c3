// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package rollout

import (
	"fmt"
	"slices"
	"time"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/consumers"
	"github.com/stscredential/sts-credential-operator/internal/eventrecorder"
	"github.com/stscredential/sts-credential-operator/internal/retry"
)

// precedence are the reasons why workloads are not restarted, the first to report first; no reason is last.
var precedence = []string{
	v1alpha1.ReasonRolloutUnfinished, v1alpha1.ReasonRolloutsDisabled, v1alpha1.ReasonRolloutForbidden, v1alpha1.ReasonTargetNotFound,
	v1alpha1.ReasonWorkloadPaused, v1alpha1.ReasonStrategyUnsuited, v1alpha1.ReasonRolloutRefused, "",
}

// result is the result of restarting one or several workloads.
type result struct {
	// reason and message are why a workload is not restarted; empty if all are.
	reason, message string
	// unread is the first workload that was not read this time; zero if all were.
	unread consumers.Workload
	// after is when to reconcile again; 0 if only an event triggers it.
	after time.Duration
}

// retryAfter is the result of a step that continues later; a time that has passed does not count.
func retryAfter(after time.Duration) result { return result{after: max(0, after)} }

// blockedBy returns the result for a workload that cannot be restarted now. The operator does not watch workloads, so it
// retries.
func blockedBy(reason, format string, args ...any) result {
	return result{reason: reason, message: eventrecorder.Bounded(fmt.Sprintf(format, args...)), after: retry.Blocked}
}

// and merges two results. Of two reasons the one with the higher precedence is kept, of two equal ones that of r.
func (r result) and(other result) result {
	r.after = soonest(r.after, other.after)
	if slices.Index(precedence, other.reason) < slices.Index(precedence, r.reason) {
		r.reason, r.message = other.reason, other.message
	}
	if r.unread == (consumers.Workload{}) {
		r.unread = other.unread
	}
	return r
}

// soonest is the shorter of two delays, where 0 means none.
func soonest(a, b time.Duration) time.Duration {
	if a <= 0 || b <= 0 {
		return max(a, b, 0)
	}
	return min(a, b)
}
