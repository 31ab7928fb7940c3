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

// measure goes through all sizes.
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

// size measures the ith number of credentials, in rounds, of each of which the fastest counts.
func (b *bench) size(ctx context.Context, i int) error {
	r := sized{N: b.sizes[i]}
	for round := range b.rounds {
		if err := b.waiting(ctx, &r); err != nil {
			return err
		}
		if err := b.on(ctx, "are created in the baseline's loop", r.N, func(s *site) error {
			return r.FloorCreated.faster(s.floorCreated(ctx, r.N))
		}); err != nil {
			return err
		}
		if err := b.on(ctx, "are created while the manager works", r.N, func(s *site) error {
			if err := r.Created.faster(s.created(ctx, r.N)); err != nil || round < b.rounds-1 {
				return err
			}
			return b.more(ctx, s, &r, i)
		}); err != nil {
			return err
		}
	}
	return nil
}

// waiting measures credentials that are there before the floor and the manager begin.
func (b *bench) waiting(ctx context.Context, r *sized) error {
	if err := b.on(ctx, "wait for the baseline", r.N, func(s *site) error {
		return r.FloorWaiting.faster(s.floorWaiting(ctx, r.N))
	}); err != nil {
		return err
	}
	return b.on(ctx, "wait for the manager", r.N, func(s *site) error {
		return r.Waiting.faster(s.waiting(ctx, r.N))
	})
}

// faster takes over what was measured again, if it took less time: what else goes on on a machine only ever slows things down.
func (r *issue) faster(again issue, err error) error {
	if err == nil && (r.Took == 0 || again.Took < r.Took) {
		*r = again
	}
	return err
}

// more measures what comes once: a restart with each size, Secrets of others with the one in the middle, and renewals with
// the last.
func (b *bench) more(ctx context.Context, s *site, r *sized, i int) (err error) {
	if r.Restart, err = s.restarted(ctx, r.N); err != nil {
		return fmt.Errorf("restart: %w", err)
	}
	b.results.Sizes = append(b.results.Sizes, *r)
	if i == len(b.sizes)/2 && b.unrelated > 0 {
		if b.results.Crowded, err = s.crowded(ctx, r.N); err != nil {
			return fmt.Errorf("with Secrets of others: %w", err)
		}
	}
	if i == len(b.sizes)-1 {
		b.results.Renewal, err = s.renewals(ctx, r.N)
	}
	return err
}

// on gives do a site of its own, and ends it: what a control plane did before makes it slower.
func (b *bench) on(ctx context.Context, what string, n int, do func(*site) error) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("%d credentials that %s: %w", n, what, err)
		}
	}()
	s, err := b.start(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	if b.results.Conditions.Cores == 0 {
		if b.results.Conditions, err = s.conditions(ctx); err != nil {
			return err
		}
	}
	b.say("%d credentials %s", n, what)
	return do(s)
}

// say tells how far it is.
func (b *bench) say(format string, args ...any) {
	fmt.Printf("%4.0f s  %s\n", time.Since(b.began).Seconds(), fmt.Sprintf(format, args...))
}
