// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// bench is one run.
type bench struct {
	settings
	dir     string
	began   time.Time
	results results
}

// measure measures the agent, then the operator with each size.
func (b *bench) measure(ctx context.Context) error {
	var err error
	if b.results.Agent, err = b.agent(ctx); err != nil || b.onlyAgent {
		return err
	}
	if err := b.build(ctx); err != nil {
		return err
	}
	for i := range b.sizes {
		if err := b.size(ctx, i); err != nil {
			return err
		}
	}
	return nil
}

// size measures the ith number of credentials in rounds. The fastest round counts.
func (b *bench) size(ctx context.Context, i int) error {
	r := sized{N: b.sizes[i]}
	for round := range b.rounds {
		if err := b.waiting(ctx, &r); err != nil {
			return err
		}
		if err := b.on(ctx, "are created in the baseline's loop", r.N, func(env *environment) error {
			return r.BaselineCreated.faster(env.baselineCreated(ctx, r.N))
		}); err != nil {
			return err
		}
		if err := b.on(ctx, "are created while the manager works", r.N, func(env *environment) error {
			if err := r.Created.faster(env.created(ctx, r.N)); err != nil || round < b.rounds-1 {
				return err
			}
			return b.more(ctx, env, &r, i)
		}); err != nil {
			return err
		}
	}
	return nil
}

// waiting measures credentials that exist before the baseline and the manager start.
func (b *bench) waiting(ctx context.Context, r *sized) error {
	if err := b.on(ctx, "wait for the baseline", r.N, func(env *environment) error {
		return r.BaselineWaiting.faster(env.baselineWaiting(ctx, r.N))
	}); err != nil {
		return err
	}
	return b.on(ctx, "wait for the manager", r.N, func(env *environment) error {
		return r.Waiting.faster(env.waiting(ctx, r.N))
	})
}

// faster keeps a repeated measurement if it took less time: other load on the machine only makes a round slower.
func (r *issuance) faster(again issuance, err error) error {
	if err == nil && (r.Took == 0 || again.Took < r.Took) {
		*r = again
	}
	return err
}

// more measures what needs no rounds: a restart with each size, Secrets of other owners with the size in the middle, and renewals
// with the last size.
func (b *bench) more(ctx context.Context, env *environment, r *sized, i int) (err error) {
	if r.Restart, err = env.restarted(ctx, r.N); err != nil {
		return fmt.Errorf("restart: %w", err)
	}
	b.results.Sizes = append(b.results.Sizes, *r)
	if i == len(b.sizes)/2 && b.unrelated > 0 {
		if b.results.Crowded, err = env.crowded(ctx, r.N); err != nil {
			return fmt.Errorf("with Secrets of other owners: %w", err)
		}
	}
	if i == len(b.sizes)-1 {
		b.results.Renewal, err = env.renewals(ctx, r.N)
	}
	return err
}

// on starts an environment for do, and stops it afterwards: a control plane that was used before is slower.
func (b *bench) on(ctx context.Context, what string, n int, do func(*environment) error) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("%d credentials that %s: %w", n, what, err)
		}
	}()
	env, err := b.start(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, env.stop()) }()
	if b.results.Conditions.Cores == 0 {
		if b.results.Conditions, err = env.conditions(ctx); err != nil {
			return err
		}
	}
	b.log("%d credentials %s", n, what)
	return do(env)
}

// log prints the progress.
func (b *bench) log(format string, args ...any) {
	fmt.Printf("%4.0f s  %s\n", time.Since(b.began).Seconds(), fmt.Sprintf(format, args...))
}
