// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/ratelimit"
)

var (
	expirationDesc = ofCredential("stscredential_expiration_timestamp_seconds",
		"Expiration of the credentials in the Secret by STS's clock, in seconds since 1970; absent without credentials.")
	renewalDesc = ofCredential("stscredential_renewal_timestamp_seconds",
		"Time of the next renewal by STS's clock, in seconds since 1970; absent without credentials, and for suspended StsCredentials.")
	readyDesc = ofCredential("stscredential_ready",
		"1 if the Secret holds valid credentials for the current spec, else 0; absent for suspended StsCredentials.")
	staleDesc = ofCredential("stscredential_stale_pods",
		"Number of pods that still use superseded credentials; absent if pods are not tracked.")
	expiredDesc = prometheus.NewDesc("stscredential_expired_seconds_total",
		"Time in seconds during which credentials in Secrets were expired, summed over all StsCredentials that are not suspended, while this process was the leader.", nil, nil)
	limitDesc = prometheus.NewDesc("stscredential_budget_limit_calls_per_second",
		"Current STS rate limit of the operator's own account, in calls per second: --sts-qps, or less for a while after throttling.", nil, nil)
	demandDesc = prometheus.NewDesc("stscredential_budget_demand_calls_per_second",
		"Average rate of renewals with the operator's own identity, in calls to STS per second; the rest of the limit is headroom.", nil, nil)
	waitingDesc = prometheus.NewDesc("stscredential_budget_waiting_calls",
		"Number of calls to STS that wait for a rate limit, of all accounts.", nil, nil)
)

func ofCredential(name, help string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, []string{"namespace", "name"}, nil)
}

// Sources is what is read at each scrape. All fields are required.
type Sources struct {
	// Reader reads StsCredentials from the cache.
	client.Reader
	// Now returns the time by STS's clock, Skew this time minus the local one.
	Now  func() time.Time
	Skew func() time.Duration
	// Account returns the operator's own account; empty while that is not known.
	Account func() string
	Budget  *ratelimit.Budget
}

// Register registers the metrics of this package; the counter of restarts is registered separately, see rollout.NewResults.
// Only the leader exposes the metrics of StsCredentials, so that they are not counted twice. elected is closed when this
// replica is the leader.
func (m *Metrics) Register(registry prometheus.Registerer, from Sources, elected <-chan struct{}) error {
	var errs []error
	for _, collector := range []prometheus.Collector{
		m.requests, m.durations, m.waits, m.renewals,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "stscredential_clock_skew_seconds",
			Help: "Local clock minus STS's clock in seconds, by the last response of STS; 0 before the first response, and for differences below 2 s.",
		}, func() float64 { return (-from.Skew()).Seconds() }),
		&collector{from, &m.Expired, elected},
	} {
		errs = append(errs, registry.Register(collector))
	}
	return errors.Join(errs...)
}

// collector reads the cache at scrape time, so that series of deleted objects disappear.
type collector struct {
	Sources
	expired *ExpiredSeconds
	elected <-chan struct{}
}

// scrapeTimeout bounds the wait for a cache that is not filled yet.
const scrapeTimeout = 5 * time.Second

// Describe implements prometheus.Collector.
func (*collector) Describe(out chan<- *prometheus.Desc) {
	for _, desc := range []*prometheus.Desc{expirationDesc, renewalDesc, readyDesc, staleDesc, expiredDesc, limitDesc, demandDesc, waitingDesc} {
		out <- desc
	}
}

// Collect reads the cache; it makes no request.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	select {
	case <-c.elected:
	default:
		return
	}
	now := c.Now()
	out <- prometheus.MustNewConstMetric(limitDesc, prometheus.GaugeValue, c.Budget.Limit(c.Account()))
	out <- prometheus.MustNewConstMetric(waitingDesc, prometheus.GaugeValue, float64(c.Budget.Waiting()))
	out <- prometheus.MustNewConstMetric(expiredDesc, prometheus.CounterValue, c.expired.seconds(now))
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
	defer cancel()
	var credentials v1alpha1.StsCredentialList
	if err := c.List(ctx, &credentials, client.UnsafeDisableDeepCopy); err != nil {
		log.FromContext(ctx).Error(err, "Failed to list StsCredentials for metrics")
		return
	}
	demand := 0.0
	for i := range credentials.Items {
		collect(&credentials.Items[i], now, out)
		demand += callsPerSecond(&credentials.Items[i])
	}
	out <- prometheus.MustNewConstMetric(demandDesc, prometheus.GaugeValue, demand)
}

// callsPerSecond is what the renewals of one StsCredential take of the operator's own account, from one to the next.
func callsPerSecond(c *v1alpha1.StsCredential) float64 {
	issued, renews := c.Status.IssuedAt, c.Status.RenewAt
	if c.Spec.Identity != nil || c.Spec.Suspend || issued == nil || renews == nil || !renews.After(issued.Time) {
		return 0
	}
	return 1 / renews.Sub(issued.Time).Seconds()
}

func collect(c *v1alpha1.StsCredential, now time.Time, out chan<- prometheus.Metric) {
	gauge := func(desc *prometheus.Desc, value float64) {
		out <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, c.Namespace, c.Name)
	}
	expires, renews, ready := c.Status.ExpiresAt, c.Status.RenewAt, 0.0
	if expires != nil {
		gauge(expirationDesc, float64(expires.Unix()))
	}
	if renews != nil && !c.Spec.Suspend {
		gauge(renewalDesc, float64(renews.Unix()))
	}
	if meta.IsStatusConditionTrue(c.Status.Conditions, v1alpha1.ConditionReady) && expires != nil && now.Before(expires.Time) {
		ready = 1
	}
	if ready == 1 || !c.Spec.Suspend { // a suspended one is not expected to become ready
		gauge(readyDesc, ready)
	}
	if c.Status.Consumers != nil {
		gauge(staleDesc, float64(c.Status.Consumers.Stale))
	}
}
