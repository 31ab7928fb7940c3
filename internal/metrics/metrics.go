// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package metrics has the metrics of the operator and what collects them.
package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/sts"
)

// Metrics holds the counters and histograms of one process. No label has values that users of a namespace choose.
type Metrics struct {
	requests  *prometheus.CounterVec
	durations *prometheus.HistogramVec
	waits     prometheus.Histogram
	renewals  *prometheus.CounterVec
	// Expired sums up the time that credentials were expired.
	Expired ExpiredSeconds
}

// RenewalResults returns what an attempt to renew can end with.
func RenewalResults() []string {
	return []string{
		v1alpha1.ReasonIssued, v1alpha1.ReasonInvalidSpec, v1alpha1.ReasonRoleNotGranted, v1alpha1.ReasonSecretConflict,
		v1alpha1.ReasonSecretWriteFailed, v1alpha1.ReasonIdentityUnavailable, v1alpha1.ReasonRoleRefused,
		v1alpha1.ReasonThrottled, v1alpha1.ReasonSTSUnavailable,
	}
}

// New starts all counters at 0, for each value that their labels can have: rates see the first event, too.
func New() *Metrics {
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
	for _, result := range RenewalResults() {
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

// Attempted counts an attempt to renew by its result: Issued, or the reason of the condition that reports the failure.
func (m *Metrics) Attempted(result string) { m.renewals.WithLabelValues(result).Inc() }
