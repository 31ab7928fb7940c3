// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/stscredential/sts-credential-operator/hack/process"
)

// killed kills the only replica at random moments: half of the times within 1.5 seconds after its start, and half of the times
// within a second after a call to STS.
func killed(ctx context.Context, r *round) (times int, err error) {
	only := r.replicas[0]
	stop := r.requestRenewals(ctx, r.throws, r.calm, 20)
	defer stop()
	for times = range r.of(6, 100) {
		if times%2 == 0 {
			pause(ctx, time.Duration(r.throws.Int64N(int64(1500*time.Millisecond))))
		} else {
			if err := r.called(ctx); err != nil {
				return times, err
			}
			pause(ctx, time.Duration(r.throws.Int64N(int64(time.Second))))
		}
		only.kill(ctx)
	}
	return times + 1, only.wait(ctx)
}

// called waits until STS issues a session.
func (r *round) called(ctx context.Context) error {
	before := r.observer.Calls().Sessions
	for end := time.Now().Add(time.Minute); r.observer.Calls().Sessions == before; pause(ctx, 20*time.Millisecond) {
		if ctx.Err() != nil || time.Now().After(end) {
			return errors.New("the operator has not called STS for a minute")
		}
	}
	return nil
}

// pairFaults are injected while two replicas run, one of which leads.
func pairFaults(long bool) []fault {
	all := []fault{
		{"the leader of two replicas is stopped (SIGSTOP), and comes back when the other leads", false, leaderStopped},
		{"the leader of two replicas is killed", false, leaderKilled},
	}
	if long {
		all = append(all, fault{"the API server of two replicas is killed, and started again 3 s later", true, apiServerKilled})
	}
	return all
}

// leader waits until one of the replicas, other than the given one, leads.
func (r *round) leader(ctx context.Context, other *replica) (*replica, error) {
	for end := time.Now().Add(time.Minute); ; pause(ctx, 200*time.Millisecond) {
		for _, candidate := range r.replicas {
			if candidate != other && candidate.leads(ctx) {
				return candidate, nil
			}
		}
		if ctx.Err() != nil || time.Now().After(end) {
			return nil, errors.New("no replica has become the leader within a minute")
		}
	}
}

// leaderStopped stops a leader while it works. It resumes it when another replica leads, which the former leader does not know yet.
func leaderStopped(ctx context.Context, r *round) (times int, err error) {
	for times = range r.of(1, 3) {
		leading, err := r.leader(ctx, nil)
		if err != nil {
			return times, err
		}
		stop := r.requestRenewals(ctx, r.throws, r.calm, 20)
		pause(ctx, time.Duration(r.throws.Int64N(int64(2*time.Second))))
		if err := leading.freeze(); err != nil {
			stop()
			return times, err
		}
		stopped := leading.current()
		_, err = r.leader(ctx, leading)
		pause(ctx, time.Second)
		err = errors.Join(err, leading.thaw())
		r.leaves(ctx, leading, stopped)
		stop()
		if err := errors.Join(err, leading.wait(ctx)); err != nil {
			return times, err
		}
	}
	return times + 1, nil
}

// leaves waits until a former leader has detected that another one leads, has ended and was started again.
func (r *round) leaves(ctx context.Context, leading *replica, former *process.Process) {
	if !leading.replaced(ctx, former, leaving) && ctx.Err() == nil {
		r.observer.Violate(time.Now(), fmt.Sprintf("a leader that was stopped still runs %s after it resumed", leaving))
	}
}

// leaving is how soon a former leader ends: client-go tries for ten seconds to renew a lease that another replica holds. Meanwhile
// two replicas lead.
const leaving = 20 * time.Second

func leaderKilled(ctx context.Context, r *round) (times int, err error) {
	stop := r.requestRenewals(ctx, r.throws, r.calm, 20)
	defer stop()
	for times = range r.of(1, 5) {
		leading, err := r.leader(ctx, nil)
		if err != nil {
			return times, err
		}
		pause(ctx, time.Duration(r.throws.Int64N(int64(2*time.Second))))
		leading.kill(ctx)
		if _, err := r.leader(ctx, nil); err != nil { // possibly the killed one, which was started again
			return times, err
		}
	}
	return times + 1, nil
}

// clockStepped changes the operator's clock by plus and minus ten minutes. The operator detects this within ten seconds.
func clockStepped(ctx context.Context, r *round) (times int, err error) {
	for times = range r.of(2, 8) {
		off := [...]time.Duration{10 * time.Minute, -10 * time.Minute}[times%2]
		if times%4 >= 2 {
			off = -off // so that some changes are of twenty minutes
		}
		if err := r.step(off); err != nil {
			return times, err
		}
		r.renewing(ctx, func() { pause(ctx, r.seconds(8, 10)) })
	}
	return times + 1, r.step(0)
}
