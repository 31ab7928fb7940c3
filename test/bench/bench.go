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

// measure goes through all sizes, each on a control plane of its own that the floor and the manager share.
func (b *bench) measure(ctx context.Context) error {
	if err := b.build(ctx); err != nil {
		return err
	}
	for i := range b.sizes {
		if err := b.on(ctx, func(s *site) error { return b.size(ctx, s, i) }); err != nil {
			return err
		}
	}
	return nil
}

// on gives do a site, and ends it.
func (b *bench) on(ctx context.Context, do func(*site) error) (err error) {
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
	return do(s)
}

// size measures the ith number of credentials. Secrets of others come with the one in the middle, renewals with the last.
func (b *bench) size(ctx context.Context, s *site, i int) (err error) {
	r := sized{N: b.sizes[i]}
	if r.FloorWaiting, r.FloorCreated, err = s.floors(ctx, r.N); err != nil {
		return fmt.Errorf("the floor with %d credentials: %w", r.N, err)
	}
	if r.N > b.waitingUpTo {
		b.say("%d credentials: none wait for the manager, see --waiting-up-to", r.N)
	} else if r.Waiting, err = s.waiting(ctx, r.N); err != nil {
		return fmt.Errorf("%d credentials that wait for the manager: %w", r.N, err)
	}
	if r.Created, r.Restart, err = s.created(ctx, r.N); err != nil {
		return fmt.Errorf("%d credentials that are created beside the manager: %w", r.N, err)
	}
	b.results.Sizes = append(b.results.Sizes, r)
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

// say tells how far it is.
func (b *bench) say(format string, args ...any) {
	fmt.Printf("%4.0f s  %s\n", time.Since(b.began).Seconds(), fmt.Sprintf(format, args...))
}
