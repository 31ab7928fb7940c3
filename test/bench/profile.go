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

// profile records profiles of the manager, with --profiles, until the function that it returns is called.
func (env *environment) profile(ctx context.Context, name string) (stop func() error) {
	if env.profiles == "" {
		return func() error { return nil }
	}
	ctx, cancel := context.WithCancel(ctx)
	m, done := env.manager, make(chan struct{})
	go func() {
		defer close(done)
		// In short slices, because the last one is lost when the measurement ends.
		for i := 0; ; i++ {
			if err := fixture.SaveProfile(ctx, m.pprof, "profile?seconds=2", filepath.Join(env.profiles, fmt.Sprintf("%s-cpu-%03d.pb.gz", name, i))); err != nil {
				return
			}
		}
	}()
	return func() error {
		cancel()
		<-done
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		return fixture.SaveProfile(ctx, m.pprof, "heap", filepath.Join(env.profiles, name+"-heap.pb.gz"))
	}
}
