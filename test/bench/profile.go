// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/stscredential/sts-credential-operator/test/fixture"
)

// profile has the manager profiled, if that is wanted, until the function that it returns is called.
func (s *site) profile(ctx context.Context, name string) (stop func() error) {
	if s.profiles == "" {
		return func() error { return nil }
	}
	ctx, cancel := context.WithCancel(ctx)
	m, done := s.manager, make(chan struct{})
	go func() {
		defer close(done)
		// As long as it goes, in slices: what is under way when it ends is lost.
		for i := 0; ; i++ {
			if err := fixture.SaveProfile(ctx, m.pprof, "profile?seconds=2", filepath.Join(s.profiles, fmt.Sprintf("%s-cpu-%03d.pb.gz", name, i))); err != nil {
				return
			}
		}
	}()
	return func() error {
		cancel()
		<-done
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		return fixture.SaveProfile(ctx, m.pprof, "heap", filepath.Join(s.profiles, name+"-heap.pb.gz"))
	}
}
