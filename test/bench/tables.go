// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// loadTable shows the CPU time of all processes. They share the cores, so the operator's rate follows from it.
func (r results) loadTable() (t table) {
	if len(r.Sizes) == 0 {
		return t
	}
	t.row(r.columns("created, CPU time per credential until the last Ready: baseline, operator", func(s sized) string { return fmt.Sprint(s.N) })...)
	both := func(title string, of func(load) time.Duration) {
		t.row(r.columns(title, func(s sized) string {
			each := func(i issuance) string { return ms(of(i.Load) / time.Duration(s.N)) }
			return each(s.BaselineCreated) + ", " + each(s.Created)
		})...)
	}
	both("kube-apiserver", func(l load) time.Duration { return l.APIServer })
	both("etcd", func(l load) time.Duration { return l.Etcd })
	both("the benchmark: the loop or the creation, STS, the observer", func(l load) time.Duration { return l.Bench })
	both("the manager", func(l load) time.Duration { return l.Manager })
	both("total", load.sum)
	t.row(r.columns("baseline / operator", func(s sized) string {
		return short(float64(s.BaselineCreated.Load.sum()) / float64(s.Created.Load.sum()))
	})...)
	return t
}

func (r results) restartTable() (t table) {
	if len(r.Sizes) == 0 {
		return t
	}
	t.row(r.columns("credentials", func(s sized) string { return fmt.Sprint(s.N) })...)
	t.row(r.columns("calls to STS", func(s sized) string { return fmt.Sprint(s.Restart.STSCalls) })...)
	t.row(r.columns("API requests, total", func(s sized) string { return s.Restart.Requests.String() })...)
	t.row(r.columns("time until all are reconciled", func(s sized) string { return short(s.Restart.Took.Seconds()) + " s" })...)
	t.row(r.columns("CPU", func(s sized) string { return short(s.Restart.CPU.Seconds()) + " s" })...)
	t.row(r.columns("RSS", func(s sized) string { return memory(s.Restart.RSS) })...)
	t.row(r.columns("peak", func(s sized) string { return memory(s.Restart.Peak) })...)
	return t
}

func (r results) renewalTable() (t table) {
	n := r.Renewal
	if n.Renewals == 0 {
		return t
	}
	t.row("", "")
	t.row("credentials, and how many are due per second", fmt.Sprintf("%d, %d", n.N, n.Rate))
	t.row("lifetime of the credentials", n.Lifetime.String())
	t.row("renewals in "+n.Took.Round(time.Second).String(), fmt.Sprintf("%d, %s/s", n.Renewals, short(float64(n.Renewals)/n.Took.Seconds())))
	t.row("calls to STS per renewal", short(per(n.STSCalls, n.Renewals)))
	t.row("API requests per renewal", short(per(n.Requests.sum(), n.STSCalls)))
	t.row("API requests, total", n.Requests.String())
	t.row("from the due time until the status is updated, p50", ms(n.P50))
	t.row("p99", ms(n.P99))
	t.row("longest", ms(n.Max))
	t.row("seconds expired, as observed", short(n.Expired.Seconds()))
	t.row("seconds expired, as the operator reports", short(n.ExpiredMetric))
	t.row("CPU cores", short(n.Cores))
	t.row("CPU per renewal", short(n.Cores*n.Took.Seconds()*1000/float64(n.Renewals))+" ms")
	t.row("RSS, peak", memory(n.RSS)+", "+memory(n.Peak))
	t.row("CPU of one core while idle, before", fmt.Sprintf("%.2f %%", 100*n.IdleCores))
	return t
}

func (r results) crowdedTable() (t table) {
	for _, s := range r.Sizes {
		if s.N != r.Crowded.N || r.Crowded.Created.Took == 0 {
			continue
		}
		c := r.Crowded
		t.row(fmt.Sprintf("%d credentials", s.N), "alone", fmt.Sprintf("with %d Secrets of %d KiB", r.Conditions.Unrelated, r.Conditions.UnrelatedKB))
		both := func(title string, cell func(sized) string) { t.row(title, cell(s), cell(c)) }
		both("created", func(s sized) string { return short(s.Created.perSecond(s.N)) + "/s" })
		both("API requests per credential", func(s sized) string { return short(per(s.Created.Requests.sum(), s.N)) })
		both("CPU per credential", func(s sized) string { return short(s.Created.cpu(s.N)) + " ms" })
		both("RSS, peak", func(s sized) string { return memory(s.Created.RSS) + ", " + memory(s.Created.Peak) })
		both("restart: calls to STS", func(s sized) string { return fmt.Sprint(s.Restart.STSCalls) })
		both("restart: time", func(s sized) string { return short(s.Restart.Took.Seconds()) + " s" })
		both("restart: RSS, peak", func(s sized) string { return memory(s.Restart.RSS) + ", " + memory(s.Restart.Peak) })
	}
	return t
}

// String lists requests with their numbers.
func (r requests) String() string {
	var all []string
	for _, k := range slices.Sorted(maps.Keys(r)) {
		all = append(all, fmt.Sprintf("%d %s", r[k], k))
	}
	if len(all) == 0 {
		return "0"
	}
	return strings.Join(all, ", ")
}
