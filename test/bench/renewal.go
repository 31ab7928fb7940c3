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

// idle watches the manager while nothing is due.
func (s *site) idle(ctx context.Context) (cores float64, err error) {
	before, err := s.manager.usage()
	if err != nil {
		return 0, err
	}
	start := time.Now()
	if err := pause(ctx, s.idleTime); err != nil {
		return 0, err
	}
	after, err := s.manager.usage()
	return (after.CPU - before.CPU).Seconds() / time.Since(start).Seconds(), err
}

// renewals has the n credentials that the manager holds live so short that they are renewed at the rate that is wanted.
func (s *site) renewals(ctx context.Context, n int) (r renewalPhase, err error) {
	s.say("%d credentials: idle for %s", n, s.idleTime)
	r.N, r.Rate = min(n, s.renewing), s.renewalRate
	if r.IdleCores, err = s.idle(ctx); err != nil {
		return r, err
	}
	// Credentials are renewed at two thirds of their life, less a tenth of it at most and half of that on average.
	interval := time.Duration(r.N) * time.Second / time.Duration(s.renewalRate)
	r.Lifetime = time.Duration(float64(interval) / (2.0/3 - 0.05)).Round(time.Second)
	watching, err := s.observe(ctx)
	if err != nil {
		return r, err
	}
	defer watching.stop()
	// A watch that begins with many objects and is sent their changes at the same time may be ended as too slow.
	if _, err := watching.allReady(ctx, n); err != nil {
		return r, err
	}
	s.say("%d credentials: brought to live %s within %s", r.N, r.Lifetime, interval)
	if err := s.shorten(ctx, r); err != nil {
		return r, err
	}
	// So many wishes at once leave some waiting: what is measured begins when each has been renewed once more.
	if err := pause(ctx, interval); err != nil {
		return r, err
	}
	s.say("%d credentials: %d renewals a second for %s", r.N, s.renewalRate, s.renewalTime)
	return r, s.renewed(ctx, watching, &r)
}

// shorten asks for a renewal of each credential, one after the other, so that from then on they come due at an even rate.
func (s *site) shorten(ctx context.Context, r renewalPhase) error {
	s.lifetime(r.Lifetime)
	pace := rate.NewLimiter(rate.Limit(s.renewalRate), 1)
	return s.each(ctx, r.N, func(ctx context.Context, i int) error {
		if err := pace.Wait(ctx); err != nil {
			return err
		}
		was := &v1alpha1.StsCredential{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: credentialName(i)}}
		is := was.DeepCopy()
		is.Annotations = map[string]string{v1alpha1.AnnotationRenewRequestedAt: "1"}
		return s.admin.Patch(ctx, is, client.MergeFrom(was))
	})
}

// renewed watches the renewals that come due by themselves.
func (s *site) renewed(ctx context.Context, watching *observer, r *renewalPhase) error {
	s.sts.ForgetCalls()
	before, err := s.asked(ctx)
	if err != nil {
		return err
	}
	metrics, err := s.manager.scrape(ctx)
	if err != nil {
		return err
	}
	used, err := s.manager.usage()
	if err != nil {
		return err
	}
	watching.forget()
	profiled, start := s.profile(ctx, "renewal"), time.Now()
	if err := pause(ctx, s.renewalTime); err != nil {
		return err
	}
	end, err := s.manager.usage()
	if err != nil {
		return err
	}
	r.Took = time.Since(start)
	late, renewals, expired := watching.seen(time.Now())
	if renewals == 0 {
		return errors.New("the observer saw no renewal: its watch may have ended")
	}
	r.Requests, err = s.since(ctx, before)
	if err := errors.Join(err, profiled()); err != nil {
		return err
	}
	r.Renewals, r.Expired, r.STSCalls = renewals, expired, s.assumed()
	r.Cores, r.RSS, r.Peak = (end.CPU-used.CPU).Seconds()/r.Took.Seconds(), end.RSS, end.Peak
	slices.Sort(late)
	r.P50, r.P99, r.Max = quantile(late, 0.5), quantile(late, 0.99), quantile(late, 1)
	ended, err := s.manager.scrape(ctx)
	if err != nil {
		return err
	}
	if _, told := ended[expiredMetric]; !told {
		return fmt.Errorf("the manager's metrics lack %s", expiredMetric)
	}
	r.ExpiredMetric = ended[expiredMetric] - metrics[expiredMetric]
	return nil
}

const expiredMetric = "stscredential_expired_seconds_total"

// quantile of sorted times; 0 if there are none.
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
