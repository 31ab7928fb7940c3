// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build !race

package budget

import (
	"slices"
	"sync"
	"testing"
	"time"
)

const (
	herdSize     = 10000
	herdRenewals = 6
)

// herd is when each of many credentials of an hour, made within one minute, is issued: for each round of issues, the first
// included, the times since the start. No budget holds them up.
var herd = sync.OnceValue(func() [][]time.Duration {
	f := newFleet(1e6, 1e6)
	issues := make([][]time.Duration, herdRenewals+1)
	f.issued = func(c *credential) {
		if c.issues <= len(issues) {
			issues[c.issues-1] = append(issues[c.issues-1], f.clock.Now().Sub(f.start))
		}
	}
	for i := range herdSize {
		f.add("shop", time.Hour, time.Duration(i)*time.Minute/herdSize)
	}
	f.run((herdRenewals + 1) * time.Hour)
	return issues
})

// perMinute counts times by the minute from the first on.
func perMinute(times []time.Duration) []int {
	first := slices.Min(times)
	counts := make([]int, 1+(slices.Max(times)-first)/time.Minute)
	for _, at := range times {
		counts[(at-first)/time.Minute]++
	}
	return counts
}

// A herd thins out: from renewal to renewal it takes longer to pass, and its busiest minute is less busy.
func TestAHerdThinsOut(t *testing.T) {
	var peaks, spans []int
	for i, times := range herd() {
		if len(times) != herdSize {
			t.Fatalf("issue %d: %d of %d", i, len(times), herdSize)
		}
		counts := perMinute(times)
		peaks, spans = append(peaks, slices.Max(counts)), append(spans, len(counts))
	}
	if peaks[0] != herdSize || spans[0] != 1 {
		t.Errorf("the first issues took %d minutes", spans[0])
	}
	for i := 1; i < len(peaks); i++ {
		// The sum of two even spreads is as high in its middle as one of them.
		if spans[i] <= spans[i-1] || float64(peaks[i]) > 1.03*float64(peaks[i-1]) {
			t.Errorf("renewal %d: %d in the busiest of %d minutes, after %d of %d", i, peaks[i], spans[i], peaks[i-1], spans[i-1])
		}
	}
	if last := peaks[herdRenewals]; last > herdSize/10 {
		t.Errorf("%d in the busiest minute of renewal %d", last, herdRenewals)
	}
}
