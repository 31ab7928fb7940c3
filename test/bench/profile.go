// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"
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
			if err := m.fetch(ctx, "profile?seconds=2", filepath.Join(s.profiles, fmt.Sprintf("%s-cpu-%03d.pb.gz", name, i))); err != nil {
				return
			}
		}
	}()
	return func() error {
		cancel()
		<-done
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		return m.fetch(ctx, "heap", filepath.Join(s.profiles, name+"-heap.pb.gz"))
	}
}

// fetch saves what /debug/pprof answers.
func (m *manager) fetch(ctx context.Context, what, file string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+m.pprof+"/debug/pprof/"+what, http.NoBody)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	return os.WriteFile(file, content, 0o600)
}
