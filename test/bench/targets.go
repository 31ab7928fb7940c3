// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"math"
	"time"
)

// target compares a measurement with a goal of the project. A missed target does not fail the run: other load on the machine can
// be the reason.
type target struct {
	what, want, got string
	met             bool
}

func (t target) verdict() string {
	if t.met {
		return "met"
	}
	return "**missed**"
}

// judge builds targets.
type judge struct{ all []target }

// atMost and atLeast add a target for a number; unit follows both.
func (j *judge) atMost(what string, want, got float64, unit string) {
	j.add(what, fmt.Sprintf("≤ %g%s", want, unit), short(got)+unit, got <= want)
}

func (j *judge) atLeast(what string, want, got float64, unit string) {
	j.add(what, fmt.Sprintf("≥ %g%s", want, unit), short(got)+unit, got >= want)
}

func (j *judge) exactly(what string, want, got float64, unit string) {
	// Calls that are in progress at the start or end of the time count in part.
	j.add(what, fmt.Sprintf("%g%s", want, unit), short(got)+unit, math.Abs(got-want) <= 0.01*want)
}

func (j *judge) add(what, want, got string, met bool) {
	j.all = append(j.all, target{what, want, got, met})
}

// short formats a number with three significant digits.
func short(v float64) string {
	switch a := math.Abs(v); {
	case a >= 100 || v == math.Trunc(v):
		return fmt.Sprintf("%.0f", v)
	case a >= 10:
		return fmt.Sprintf("%.1f", v)
	default:
		return fmt.Sprintf("%.2f", v)
	}
}

// targets returns all targets that the results can be compared with.
func (r results) targets() []target {
	j := &judge{}
	for _, s := range r.Sizes {
		of := fmt.Sprintf(" at %d", s.N)
		j.atLeast("baseline / operator, credentials that wait"+of, 0.9, ratio(s.BaselineWaiting, s.Waiting), "")
		j.atLeast("baseline / operator, creation included"+of, 0.9, ratio(s.BaselineCreated, s.Created), "")
		j.atMost("API requests for a first issuance that waits"+of, 2, per(s.Waiting.Requests.sum(), s.N), "")
		j.atMost("of which writes"+of, 2, per(s.Waiting.Requests.sum(writes...), s.N), "")
		j.atMost("API requests for a first issuance, creation included"+of, 2, per(s.Created.Requests.sum(), s.N), "")
		j.atMost("of which writes"+of, 2, per(s.Created.Requests.sum(writes...), s.N), "")
		j.atMost("CPU for a first issuance"+of, 2.5, s.Created.cpu(s.N), " ms")
		j.exactly("calls to STS for a first issuance"+of, 1, per(s.Created.STSCalls, s.N), "")
		j.atMost("calls to STS after a restart"+of, 0, float64(s.Restart.STSCalls), "")
		j.atMost("API requests about objects after a restart"+of, 0, float64(s.Restart.perObject()), "")
		switch s.N {
		case 4000:
			j.atMost("RSS"+of, 100, mib(s.Created.RSS), " MiB")
		case 10000:
			j.atMost("RSS"+of, 180, mib(s.Created.RSS), " MiB")
		}
	}
	if last := len(r.Sizes) - 1; last >= 0 {
		big := r.Sizes[last]
		j.atMost("RSS without credentials", 45, mib(r.Sizes[0].Created.IdleRSS), " MiB")
		j.atMost(fmt.Sprint("growth of RSS per credential at ", big.N), 12, float64(big.Created.RSS-big.Created.IdleRSS)/1024/float64(big.N), " KiB")
	}
	r.crowded(j)
	r.renewal(j)
	return j.all
}

// crowded adds the targets with Secrets of other owners.
func (r results) crowded(j *judge) {
	for _, s := range r.Sizes {
		if s.N != r.Crowded.N || r.Crowded.Created.Took == 0 {
			continue
		}
		j.atMost(fmt.Sprintf("RSS, with Secrets of other owners / without, at %d", s.N), 1.05, float64(r.Crowded.Created.RSS)/float64(s.Created.RSS), "")
		j.exactly("API requests for a first issuance, with Secrets of other owners / without", 1,
			float64(r.Crowded.Created.Requests.sum())/float64(s.Created.Requests.sum()), "")
	}
}

// renewal adds the targets of the steady state.
func (r results) renewal(j *judge) {
	n := r.Renewal
	if n.Renewals == 0 {
		return
	}
	j.atLeast(fmt.Sprintf("renewals per second, %d being due", n.Rate), 0.95*float64(n.Rate), float64(n.Renewals)/n.Took.Seconds(), "")
	j.exactly("API requests for a renewal", 2, per(n.Requests.sum(), n.STSCalls), "")
	j.atMost("CPU cores while renewing", 0.5, n.Cores, "")
	j.atMost("lateness of renewals, p99", 2, n.P99.Seconds(), " s")
	j.atMost("seconds expired, as observed", 0, n.Expired.Seconds(), "")
	j.atMost("seconds expired, as the operator reports", 0, n.ExpiredMetric, "")
	j.atMost("CPU of one core while idle", 1, 100*n.IdleCores, " %")
}

// ratio is how close the operator comes to the baseline: 1 is as fast.
func ratio(baseline, operator issuance) float64 {
	return baseline.Took.Seconds() / operator.Took.Seconds()
}

// cpu is the CPU time for each of n credentials, in milliseconds.
func (i issuance) cpu(n int) float64 { return i.CPU.Seconds() * 1000 / float64(n) }

// perSecond is the rate of n credentials.
func (i issuance) perSecond(n int) float64 { return float64(n) / i.Took.Seconds() }

// perObject counts the requests of a restart, without lists.
func (r restart) perObject() int { return r.Requests.sum() - r.Requests.sum("LIST") }

func per(count, n int) float64 { return float64(count) / float64(n) }

func mib(bytes int) float64 { return float64(bytes) / (1 << 20) }

func ms(d time.Duration) string { return short(float64(d.Microseconds())/1000) + " ms" }
