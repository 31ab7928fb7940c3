// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"github.com/prometheus/procfs"

	"github.com/stscredential/sts-credential-operator/hack/process"
	"github.com/stscredential/sts-credential-operator/test/fixture"
)

// measureEvery is how often a process is measured.
const measureEvery = 200 * time.Millisecond

// life has the measurements of one process.
type life struct {
	peak        float64 // bytes of RSS
	requests    float64 // to the API server
	first, last time.Time
	profiled    float64 // peak when the heap was last saved
}

// profileEvery is the growth of the peak after which the heap is saved again.
const profileEvery = 15 << 20

// measurement has the measurements of all processes of a replica.
type measurement struct {
	*replica
	profiles string // a folder for heap profiles; empty: none
	pprof    string // host:port that serves them
	mu       sync.Mutex
	lives    map[*process.Process]*life
}

// measure measures the processes of a replica until ctx ends.
func measure(ctx context.Context, r *replica, profiles, pprof string) *measurement {
	m := &measurement{replica: r, profiles: profiles, pprof: pprof, lives: map[*process.Process]*life{}}
	go func() {
		for ; ctx.Err() == nil; pause(ctx, measureEvery) {
			m.read(ctx)
		}
	}()
	return m
}

// read takes one measurement. It skips what cannot be read because the process starts or ends.
func (m *measurement) read(ctx context.Context) {
	p := m.current()
	peak, errPeak := peakOf(p.ID())
	values, errScrape := m.scrape(ctx)
	m.mu.Lock()
	defer m.mu.Unlock()
	l := m.lives[p]
	if l == nil {
		l = &life{first: time.Now()}
		m.lives[p] = l
	}
	if errPeak == nil {
		l.peak, l.last = max(l.peak, peak), time.Now()
	}
	if errScrape == nil && p == m.current() {
		l.requests = max(l.requests, values["rest_client_requests_total"])
	}
	if m.profiles != "" && l.peak > l.profiled+profileEvery {
		l.profiled = l.peak
		_ = fixture.SaveProfile(ctx, m.pprof, "heap", filepath.Join(m.profiles, fmt.Sprintf("%s-%03.0f-MiB.heap", p.Name(), l.peak/(1<<20)))) // it may be too busy
	}
}

// peak is the largest RSS of all processes, in bytes.
func (m *measurement) peak() (largest float64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, l := range m.lives {
		largest = max(largest, l.peak)
	}
	return largest
}

// processes is the number of measured processes.
func (m *measurement) processes() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.lives)
}

// requestRate is the number of requests per second of the processes to the API server.
func (m *measurement) requestRate() float64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	var requests, seconds float64
	for _, l := range m.lives {
		requests += l.requests
		seconds += l.last.Sub(l.first).Seconds()
	}
	return requests / max(seconds, 1)
}

// peakOf is the largest RSS that a process has had, in bytes.
func peakOf(pid int) (float64, error) {
	proc, err := procfs.NewProc(pid)
	if err != nil {
		return 0, err
	}
	status, err := proc.NewStatus()
	if err != nil {
		return 0, err
	}
	return float64(status.VmHWM), nil
}
