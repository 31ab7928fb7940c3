// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stscredential

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/sts"
)

// Metrics counts what one operator does. No label has values that a tenant chooses.
type Metrics struct {
	requests  *prometheus.CounterVec
	durations *prometheus.HistogramVec
	waits     prometheus.Histogram
	renewals  *prometheus.CounterVec
	expired   expiredSeconds
}

// renewalResults are what an attempt to renew can end with.
var renewalResults = []string{
	v1alpha1.ReasonIssued, v1alpha1.ReasonInvalidSpec, v1alpha1.ReasonRoleNotGranted, v1alpha1.ReasonSecretConflict,
	v1alpha1.ReasonSecretWriteFailed, v1alpha1.ReasonIdentityUnavailable, v1alpha1.ReasonRoleRefused,
	v1alpha1.ReasonThrottled, v1alpha1.ReasonSTSUnavailable,
}

// NewMetrics starts all counters at 0, for each value that their labels can have: rates see the first event, too.
func NewMetrics() *Metrics {
	m := &Metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "stscredential_sts_requests_total",
			Help: "Number of calls to STS by action and result: OK, the error code, other (an unknown code) or, without a response of STS, Unreachable, Timeout, BrokenAnswer or Canceled.",
		}, []string{"action", "code"}),
		durations: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "stscredential_sts_request_duration_seconds",
			Help:    "Duration of calls to STS in seconds, including the connection, by action.",
			Buckets: []float64{0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10},
		}, []string{"action"}),
		waits: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "stscredential_budget_wait_seconds",
			Help:    "Time in seconds that a call to STS waited for the rate limit of its account; 0 if it did not wait.",
			Buckets: []float64{0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600},
		}),
		renewals: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "stscredential_renewals_total",
			Help: "Number of completed attempts to issue or renew credentials, by result: Issued, or the reason of the condition that reports the failure.",
		}, []string{"result"}),
	}
	for _, action := range []string{sts.ActionAssumeRole, sts.ActionAssumeRoleWithOIDC, sts.ActionGetCallerIdentity} {
		m.durations.WithLabelValues(action)
		for _, code := range sts.Results() {
			m.requests.WithLabelValues(action, code)
		}
	}
	for _, result := range renewalResults {
		m.renewals.WithLabelValues(result)
	}
	return m
}

// Called counts a call to STS. It is the Observe of sts.Options.
func (m *Metrics) Called(action, code string, took time.Duration) {
	m.requests.WithLabelValues(action, code).Inc()
	m.durations.WithLabelValues(action).Observe(took.Seconds())
}

// Waited counts a wait for the budget. It is the argument of ratelimit.Budget.Observe.
func (m *Metrics) Waited(waited time.Duration) { m.waits.Observe(waited.Seconds()) }

// attempted counts an attempt to renew, by the reason of its error; nil is success. A wait is no attempt.
func (m *Metrics) attempted(err error) {
	result := v1alpha1.ReasonIssued
	switch failed, fatal := first(err); {
	case fatal != nil, failed != nil && failed.waiting: // it is tried again
		return
	case failed != nil:
		result = failed.reason
	}
	m.renewals.WithLabelValues(result).Inc()
}

// expiredSeconds sums up the time that credentials spend past their expiry. Reconciles report to it: there is one at each
// expiry, and at each change. It remembers those alone that are expired now.
type expiredSeconds struct {
	mu    sync.Mutex
	since map[types.NamespacedName]time.Time
	past  float64 // seconds of those that are so no more
	last  float64 // what seconds returned last
}

// reconciling takes in an object as the last reconcile left it. What happened before this process saw it, or
// under another spec, is not counted: another process may have counted that, or it was suspended.
func (e *expiredSeconds) reconciling(c *v1alpha1.StsCredential, seen bool, now time.Time) {
	var from time.Time
	if !seen {
		from = now
	}
	e.reconciled(c, from, now)
}

// reconciled takes in an object that has been as it is since from, as far as is known.
func (e *expiredSeconds) reconciled(c *v1alpha1.StsCredential, from, now time.Time) {
	key := client.ObjectKeyFromObject(c)
	expiry := c.Status.ExpiresAt
	if c.Spec.Suspend || expiry == nil || now.Before(expiry.Time) {
		e.over(key, now)
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if _, counting := e.since[key]; counting {
		return
	}
	if expiry.After(from) {
		from = expiry.Time
	}
	if e.since == nil {
		e.since = map[types.NamespacedName]time.Time{}
	}
	e.since[key] = from
}

// over ends what is counted of an object, if anything is.
func (e *expiredSeconds) over(key types.NamespacedName, now time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if since, counting := e.since[key]; counting {
		e.past += max(0, now.Sub(since)).Seconds()
		delete(e.since, key)
	}
}

// seconds is the sum until now. It never falls, not even if the clock is set back.
func (e *expiredSeconds) seconds(now time.Time) float64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	sum := e.past
	for _, since := range e.since {
		sum += max(0, now.Sub(since)).Seconds()
	}
	e.last = max(e.last, sum)
	return e.last
}
