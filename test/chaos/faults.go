// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"syscall"
	"time"

	"github.com/stscredential/sts-credential-operator/test/stsemulator"
)

// fault is one way to do harm.
type fault struct {
	name string
	// dark: nobody can renew meanwhile.
	dark bool
	// inject does it and returns once it is over, with how many times it was done.
	inject func(context.Context, *round) (int, error)
}

// round is what a fault is injected into: the site, the operator as it runs, and how much of it is wanted.
type round struct {
	*site
	long     bool
	throws   *rand.Rand
	replicas []*replica
	calm     int // StsCredentials in the calm namespace
	meddled  int // and in the meddled one
}

// of chooses by the form of the run.
func (r *round) of(short, long int) int {
	if r.long {
		return long
	}
	return short
}

// seconds is of as a time.
func (r *round) seconds(short, long int) time.Duration {
	return time.Duration(r.of(short, long)) * time.Second
}

// stirred does something while renewals are asked for, ten a second.
func (r *round) stirred(ctx context.Context, do func()) {
	stop := r.stir(ctx, r.throws, r.calm, 10)
	do()
	stop()
}

// soloFaults are injected while one replica runs, behind the proxy, and while StsCredentials come and go.
func soloFaults() []fault {
	return []fault{
		{"STS refuses connections, for a third of a lifetime", true, stsDown},
		{"STS throttles to two calls per second", true, scripted(stsemulator.Fault{Kind: stsemulator.FaultThrottle, CallsPerSecond: 2})},
		{"STS does not answer", true, scripted(stsemulator.Fault{Kind: stsemulator.FaultHang})},
		{"STS closes its side of the connection: at the start, in the header, in the body", true, halfClosed},
		{"STS answers with errors or malformed responses, of every kind that the emulator has", true, brokenAnswers},
		{"all watches are interrupted", false, watchesCut},
		{"the API server answers 409 to 40 % of all writes", false, mischievous(conflicts)},
		{"the API server answers 429 to 40 % of all requests", false, mischievous(throttles)},
		{"40 % of all writes succeed, but their responses are lost", false, mischievous(loses)},
		{"the API server is killed, and started again 3 s later", true, apiServerKilled},
		{"etcd is stopped (SIGSTOP) for 5 s", true, etcdStopped},
		{"etcd is slow: stopped for 0.3 s of every 0.4 s", true, etcdSlow},
		{"a Secret is edited or deleted", false, meddledWith},
	}
}

// stsDown is 20 minutes without STS where sessions live an hour, scaled.
func stsDown(ctx context.Context, r *round) (int, error) {
	times := r.of(1, 2)
	for i := range times {
		if i > 0 {
			r.observer.Light(time.Now())
			pause(ctx, r.sts.lifetime/3)
			r.observer.Blackout(time.Now())
		}
		r.sts.close()
		pause(ctx, r.sts.lifetime/3)
		if err := r.sts.open(ctx); err != nil {
			return i, err
		}
	}
	return times, nil
}

// scripted has the emulator do something to every call for a while, and counts the calls.
func scripted(f stsemulator.Fault) func(context.Context, *round) (int, error) {
	return func(ctx context.Context, r *round) (int, error) {
		before := r.sts.failed.Load()
		f.Action = asked
		r.sts.script(f)
		r.stirred(ctx, func() { pause(ctx, r.seconds(10, 25)) })
		r.sts.script()
		return int(r.sts.failed.Load() - before), nil
	}
}

func halfClosed(ctx context.Context, r *round) (int, error) {
	before := r.sts.halved.Load()
	r.sts.cut.Store(true)
	r.stirred(ctx, func() { pause(ctx, r.seconds(8, 20)) })
	r.sts.cut.Store(false)
	return int(r.sts.halved.Load() - before), nil
}

// answers are all that the emulator can answer brokenly, and errors of each class that passes by itself: so many of each, and
// fewer of those that an administrator would have to act upon, which the operator retries slowly.
func answers(each int) (all []stsemulator.Fault) {
	for _, missing := range []string{"AccessKeyId", "AccessKeySecret", "SecurityToken", "Expiration", "Credentials"} {
		all = append(all, stsemulator.Fault{Kind: stsemulator.FaultPartial, Missing: missing, Times: each})
	}
	for _, kind := range []stsemulator.FaultKind{stsemulator.FaultBadExpiration, stsemulator.FaultEmpty, stsemulator.FaultBadGateway, stsemulator.FaultReset} {
		all = append(all, stsemulator.Fault{Kind: kind, Times: each})
	}
	for _, code := range []string{"InternalError", "ServiceUnavailable", "Throttling", "Throttling.Api"} {
		all = append(all, stsemulator.Fault{Kind: stsemulator.FaultError, Code: code, Times: each})
	}
	for _, code := range []string{"NoPermission", "SignatureDoesNotMatch", "SignatureNonceUsed", "InvalidTimeStamp.Expired", "InvalidAccessKeyId.NotFound", "Some.NewCode"} {
		all = append(all, stsemulator.Fault{Kind: stsemulator.FaultError, Code: code, Times: 2})
	}
	return all
}

// brokenAnswers gives each of them to a few calls.
func brokenAnswers(ctx context.Context, r *round) (times int, err error) {
	r.stirred(ctx, func() {
		for _, f := range answers(r.of(2, 6)) {
			f.Action = asked
			r.sts.script(f)
			for end := time.Now().Add(20 * time.Second); r.sts.pending() > 0 && time.Now().Before(end) && ctx.Err() == nil; {
				pause(ctx, 50*time.Millisecond)
			}
			if r.sts.pending() > 0 {
				err = fmt.Errorf("nobody called STS to be answered with %s %s %s", f.Kind, f.Missing, f.Code)
				break
			}
			times += f.Times
		}
	})
	r.sts.script()
	return times, err
}

func watchesCut(ctx context.Context, r *round) (times int, _ error) {
	r.stirred(ctx, func() {
		for range r.of(5, 40) {
			times += r.proxy.cutWatches()
			pause(ctx, 500*time.Millisecond)
		}
	})
	return times, nil
}

func mischievous(m mischief) func(context.Context, *round) (int, error) {
	return func(ctx context.Context, r *round) (int, error) {
		r.proxy.do(m)
		r.stirred(ctx, func() { pause(ctx, r.seconds(6, 20)) })
		return r.proxy.do(none), nil
	}
}

func apiServerKilled(ctx context.Context, r *round) (int, error) {
	times := r.of(1, 3)
	if len(r.replicas) > 1 {
		times = 1
	}
	for i := range times {
		if i > 0 {
			r.observer.Light(time.Now())
			pause(ctx, r.sts.lifetime/3)
			r.observer.Blackout(time.Now())
		}
		if err := r.plane.Kill("kube-apiserver"); err != nil {
			return i, err
		}
		r.proxy.sever()
		pause(ctx, 3*time.Second)
		if err := r.plane.Restart(ctx, "kube-apiserver"); err != nil {
			return i, err
		}
	}
	return times, nil
}

func etcdStopped(ctx context.Context, r *round) (int, error) {
	return r.stopEtcd(ctx, r.of(1, 3), 5*time.Second, 2*time.Second)
}

func etcdSlow(ctx context.Context, r *round) (int, error) {
	return r.stopEtcd(ctx, r.of(15, 60), 300*time.Millisecond, 100*time.Millisecond)
}

// stopEtcd lets etcd stand still again and again.
func (r *round) stopEtcd(ctx context.Context, times int, stands, runs time.Duration) (int, error) {
	etcd, err := r.plane.ID("etcd")
	if err != nil {
		return 0, err
	}
	r.stirred(ctx, func() {
		for range times {
			if err = syscall.Kill(etcd, syscall.SIGSTOP); err != nil {
				return
			}
			pause(ctx, stands)
			if err = syscall.Kill(etcd, syscall.SIGCONT); err != nil {
				return
			}
			pause(ctx, runs)
		}
	})
	return times, err
}

// meddledWith lasts less than a minute: the operator repairs a Secret at once, and then at most once a minute. The short
// form has each Secret meddled with once.
func meddledWith(ctx context.Context, r *round) (times int, _ error) {
	for i := range r.of(r.meddled, 10*r.meddled) {
		if r.long {
			i = r.throws.IntN(r.meddled)
		}
		if r.meddle(ctx, r.throws, meddledNamespace, fmt.Sprintf("c%03d", i)) == nil {
			times++
		}
		pause(ctx, 100*time.Millisecond)
	}
	return times, nil
}
