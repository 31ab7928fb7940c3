// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/time/rate"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
)

// idle measures the manager while nothing is due.
func (env *environment) idle(ctx context.Context) (cores float64, err error) {
	before, err := env.manager.usage()
	if err != nil {
		return 0, err
	}
	start := time.Now()
	if err := pause(ctx, env.idleTime); err != nil {
		return 0, err
	}
	after, err := env.manager.usage()
	return (after.CPU - before.CPU).Seconds() / time.Since(start).Seconds(), err
}

// renewals shortens the lifetime of the n credentials so that they are renewed at the rate of the settings, and measures that.
func (env *environment) renewals(ctx context.Context, n int) (r renewalPhase, err error) {
	env.log("%d credentials: idle for %s", n, env.idleTime)
	r.N, r.Rate = min(n, env.renewing), env.renewalRate
	if r.IdleCores, err = env.idle(ctx); err != nil {
		return r, err
	}
	// Credentials are renewed after two thirds of their lifetime, minus up to a tenth of it, which is a twentieth on average.
	interval := time.Duration(r.N) * time.Second / time.Duration(env.renewalRate)
	r.Lifetime = time.Duration(float64(interval) / (2.0/3 - 0.05)).Round(time.Second)
	watching, err := env.observe(ctx)
	if err != nil {
		return r, err
	}
	defer watching.stop()
	// A watch that starts with many objects, and receives their changes at the same time, can be too slow for the API server.
	if _, err := watching.allReady(ctx, n); err != nil {
		return r, err
	}
	env.log("%d credentials: lifetime set to %s within %s", r.N, r.Lifetime, interval)
	if err := env.shorten(ctx, r); err != nil {
		return r, err
	}
	// So many renew requests at once delay each other. The measurement starts when each credential has been renewed once more.
	if err := pause(ctx, interval); err != nil {
		return r, err
	}
	env.log("%d credentials: %d renewals a second for %s", r.N, env.renewalRate, env.renewalTime)
	return r, env.renewed(ctx, watching, &r)
}

// shorten requests a renewal of each credential at an even rate, so that the following renewals come due at that rate.
func (env *environment) shorten(ctx context.Context, r renewalPhase) error {
	env.lifetime(r.Lifetime)
	pace := rate.NewLimiter(rate.Limit(env.renewalRate), 1)
	return env.each(ctx, r.N, func(ctx context.Context, i int) error {
		if err := pace.Wait(ctx); err != nil {
			return err
		}
		was := &v1alpha1.StsCredential{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: credentialName(i)}}
		is := was.DeepCopy()
		is.Annotations = map[string]string{v1alpha1.AnnotationRenewRequestedAt: "1"}
		return env.admin.Patch(ctx, is, client.MergeFrom(was))
	})
}

// renewed measures the renewals that come due.
func (env *environment) renewed(ctx context.Context, watching *observer, r *renewalPhase) error {
	env.sts.ForgetCalls()
	before, err := env.requestCounts(ctx)
	if err != nil {
		return err
	}
	metrics, err := env.manager.scrape(ctx)
	if err != nil {
		return err
	}
	used, err := env.manager.usage()
	if err != nil {
		return err
	}
	watching.forget()
	profiled, start := env.profile(ctx, "renewal"), time.Now()
	if err := pause(ctx, env.renewalTime); err != nil {
		return err
	}
	end, err := env.manager.usage()
	if err != nil {
		return err
	}
	r.Took = time.Since(start)
	late, renewals, expired := watching.observed(time.Now())
	if renewals == 0 {
		return errors.New("the observer received no renewal: its watch may have ended")
	}
	r.Requests, err = env.since(ctx, before)
	if err := errors.Join(err, profiled()); err != nil {
		return err
	}
	r.Renewals, r.Expired, r.STSCalls = renewals, expired, env.assumeRoleCalls()
	r.Cores, r.RSS, r.Peak = (end.CPU-used.CPU).Seconds()/r.Took.Seconds(), end.RSS, end.Peak
	slices.Sort(late)
	r.P50, r.P99, r.Max = quantile(late, 0.5), quantile(late, 0.99), quantile(late, 1)
	ended, err := env.manager.scrape(ctx)
	if err != nil {
		return err
	}
	if _, present := ended[expiredMetric]; !present {
		return fmt.Errorf("the manager's metrics lack %s", expiredMetric)
	}
	r.ExpiredMetric = ended[expiredMetric] - metrics[expiredMetric]
	return nil
}

const expiredMetric = "stscredential_expired_seconds_total"

// quantile returns a quantile of sorted times, 0 if there are none.
func quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}
