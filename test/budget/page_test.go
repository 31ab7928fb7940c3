// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build !race

package budget

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"text/template"
	"time"
)

var update = flag.Bool("update", false, "write docs/budget.md anew")

// page is what docs/budget.md shows.
type page struct {
	Demand    float64
	Mixed     []mixedRow
	HogDemand float64
	Hog       []hogRow
	Throttled []throttledRow
	Herd      []herdRow
}

type mixedRow struct {
	Times float64
	Order string
	outcomeRow
}

type hogRow struct {
	Order              string
	Others, Later, Hog outcomeRow
}

// outcomeRow is an outcome in words.
type outcomeRow struct {
	Credentials, Expired             int
	ExpiredOf, Longest, LongestFirst string
}

type throttledRow struct {
	Allows                           float64
	Made, Refused, Lowest, Recovered string
}

type herdRow struct {
	Name          string
	Minutes, Peak int
	PerSecond     float64
	Bars          string
}

// TestPage holds docs/budget.md to what the simulations give.
func TestPage(t *testing.T) {
	var want bytes.Buffer
	name := filepath.Join("..", "..", "docs", "budget.md")
	text, err := template.ParseFiles(filepath.Join("testdata", "budget.md.tmpl"))
	if err == nil {
		err = text.Execute(&want, simulated())
	}
	if err == nil && *update {
		err = os.WriteFile(name, want.Bytes(), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(name); err != nil || !bytes.Equal(got, want.Bytes()) {
		t.Errorf("docs/budget.md is not what the simulations give (%v): run go -C test test ./budget -update, and look at what has changed", err)
	}
}

func simulated() (p page) {
	for _, times := range []float64{1, 1.5, 2} {
		for i, order := range orders[:2] {
			f := suffices()[i]
			if times != 1 {
				f = mixedLifetimes(times, order.claim)
			}
			p.Demand = f.demand(anybody)
			p.Mixed = append(p.Mixed, mixedRow{times, order.name, inWords(f.outcome(anybody))})
		}
	}
	for i, order := range orders {
		f := hogged()[i]
		p.HogDemand = f.demand(ofTheHog)
		p.Hog = append(p.Hog, hogRow{order.name, inWords(f.outcome(ofOthers)), inWords(f.outcome(f.ofLater)), inWords(f.outcome(ofTheHog))})
	}
	for _, allows := range accounts {
		o := throttledAccount(20, allows)
		p.Throttled = append(p.Throttled, throttledRow{
			allows, fmt.Sprintf("%.1f", float64(o.allowed)/3600), fmt.Sprintf("%.1f %%", 100*o.share()), fmt.Sprintf("%.1f", o.lowest), short(o.recovered),
		})
	}
	busiest := slices.Max(perMinute(herd()[1])) // of the renewals
	for i, times := range herd() {
		name := fmt.Sprint("renewal ", i)
		if i == 0 {
			name = "first issuances"
		}
		counts := perMinute(times)
		peak := slices.Max(counts)
		p.Herd = append(p.Herd, herdRow{name, len(counts), peak, float64(peak) / 60, bars(counts, busiest)})
	}
	return p
}

func inWords(o outcome) outcomeRow {
	return outcomeRow{o.credentials, o.expired, short(o.expiredOf), short(o.longest), short(o.longestFirst)}
}

// short is a duration with as many places as anybody reads.
func short(d time.Duration) string {
	switch {
	case d == 0:
		return "0"
	case d < time.Minute:
		return fmt.Sprintf("%.0f s", d.Seconds())
	case d < time.Hour:
		return fmt.Sprintf("%.0f min", d.Minutes())
	}
	return fmt.Sprintf("%.1f h", d.Hours())
}

// bars draws counts, most and more as high as can be.
func bars(counts []int, most int) string {
	heights := []rune("▁▂▃▄▅▆▇█")
	var b strings.Builder
	for _, n := range counts {
		b.WriteRune(heights[min(n, most)*(len(heights)-1)/max(most, 1)])
	}
	return b.String()
}
