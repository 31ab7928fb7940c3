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

// fault is one kind of fault.
type fault struct {
	name string
	// outage: renewals are impossible meanwhile.
	outage bool
	// inject injects the fault, and returns how many times when it is over.
	inject func(context.Context, *round) (int, error)
}

// round is what a fault is injected into: the environment, the replicas of the operator, and the form of the run.
type round struct {
	*environment
	long     bool
	throws   *rand.Rand
	replicas []*replica
	calm     int // StsCredentials in the calm namespace
	edited   int // StsCredentials in the namespace whose Secrets are edited
}

// of chooses a number by the form of the run.
func (r *round) of(short, long int) int {
	if r.long {
		return long
	}
	return short
}

// seconds chooses a duration.
func (r *round) seconds(short, long int) time.Duration {
	return time.Duration(r.of(short, long)) * time.Second
}

// renewing calls do while ten renewals per second are requested.
func (r *round) renewing(ctx context.Context, do func()) {
	stop := r.requestRenewals(ctx, r.throws, r.calm, 10)
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
		{"the API server answers 409 to 40 % of all writes", false, proxied(conflicts)},
		{"the API server answers 429 to 40 % of all requests", false, proxied(throttles)},
		{"40 % of all writes succeed, but their responses are lost", false, proxied(loses)},
		{"the API server is killed, and started again 3 s later", true, apiServerKilled},
		{"etcd is stopped (SIGSTOP) for 5 s", true, etcdStopped},
		{"etcd is slow: stopped for 0.3 s of every 0.4 s", true, etcdSlow},
		{"a Secret is edited or deleted", false, secretsEdited},
	}
}

// stsDown is a third of a lifetime without STS: 20 minutes for sessions of an hour.
func stsDown(ctx context.Context, r *round) (int, error) {
	times := r.of(1, 2)
	for i := range times {
		if i > 0 {
			r.observer.Restored(time.Now())
			pause(ctx, r.sts.lifetime/3)
			r.observer.Outage(time.Now())
		}
		r.sts.close()
		pause(ctx, r.sts.lifetime/3)
		if err := r.sts.open(ctx); err != nil {
			return i, err
		}
	}
	return times, nil
}

// scripted injects a fault into every call for some time, and counts the calls.
func scripted(f stsemulator.Fault) func(context.Context, *round) (int, error) {
	return func(ctx context.Context, r *round) (int, error) {
		before := r.sts.failed.Load()
		f.Action = assumeRole
		r.sts.script(f)
		r.renewing(ctx, func() { pause(ctx, r.seconds(10, 25)) })
		r.sts.script()
		return int(r.sts.failed.Load() - before), nil
	}
}

func halfClosed(ctx context.Context, r *round) (int, error) {
	before := r.sts.halved.Load()
	r.sts.cut.Store(true)
	r.renewing(ctx, func() { pause(ctx, r.seconds(8, 20)) })
	r.sts.cut.Store(false)
	return int(r.sts.halved.Load() - before), nil
}

// answers returns every malformed response of the emulator, and errors of each transient class, with a number of times for each.
// Errors that need an administrator come less often, because the operator retries them slowly.
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

// brokenAnswers answers a few calls with each of them.
func brokenAnswers(ctx context.Context, r *round) (times int, err error) {
	r.renewing(ctx, func() {
		for _, f := range answers(r.of(2, 6)) {
			f.Action = assumeRole
			r.sts.script(f)
			for end := time.Now().Add(20 * time.Second); r.sts.pending() > 0 && time.Now().Before(end) && ctx.Err() == nil; {
				pause(ctx, 50*time.Millisecond)
			}
			if r.sts.pending() > 0 {
				err = fmt.Errorf("no call to STS could be answered with %s %s %s", f.Kind, f.Missing, f.Code)
				break
			}
			times += f.Times
		}
	})
	r.sts.script()
	return times, err
}

func watchesCut(ctx context.Context, r *round) (times int, _ error) {
	r.renewing(ctx, func() {
		for range r.of(5, 40) {
			times += r.proxy.cutWatches()
			pause(ctx, 500*time.Millisecond)
		}
	})
	return times, nil
}

func proxied(m proxyFault) func(context.Context, *round) (int, error) {
	return func(ctx context.Context, r *round) (int, error) {
		r.proxy.do(m)
		r.renewing(ctx, func() { pause(ctx, r.seconds(6, 20)) })
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
			r.observer.Restored(time.Now())
			pause(ctx, r.sts.lifetime/3)
			r.observer.Outage(time.Now())
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

// stopEtcd stops and resumes etcd repeatedly.
func (r *round) stopEtcd(ctx context.Context, times int, stands, runs time.Duration) (int, error) {
	etcd, err := r.plane.ID("etcd")
	if err != nil {
		return 0, err
	}
	r.renewing(ctx, func() {
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

// secretsEdited takes less than a minute: the operator corrects a Secret at once, and then at most once a minute. The short form
// edits each Secret once.
func secretsEdited(ctx context.Context, r *round) (times int, _ error) {
	for i := range r.of(r.edited, 10*r.edited) {
		if r.long {
			i = r.throws.IntN(r.edited)
		}
		if r.editSecret(ctx, r.throws, editedNamespace, fmt.Sprintf("c%03d", i)) == nil {
			times++
		}
		pause(ctx, 100*time.Millisecond)
	}
	return times, nil
}
