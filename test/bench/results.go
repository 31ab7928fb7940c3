// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import "time"

// results are the measurements of one run.
type results struct {
	Conditions conditions
	Sizes      []sized
	Crowded    sized
	Renewal    renewalPhase
	Agent      agentCost
	Took       time.Duration
	Missing    string // why the run ended early; empty if it did not
}

// sized has the measurements with N credentials. Waiting: they exist before. Created: the time includes their creation.
type sized struct {
	N                                int
	BaselineWaiting, BaselineCreated issuance
	Waiting, Created                 issuance
	Restart                          restart
}

// issuance is the first issuance of N credentials. CPU and memory are those of the manager; the baseline has no process of its own.
type issuance struct {
	Took               time.Duration
	STSCalls           int
	Requests           requests
	CPU                time.Duration
	IdleRSS, RSS, Peak int  // bytes
	Load               load // of all, until the last Ready
	end                time.Time
}

// restart is a new process that finds N credentials issued.
type restart struct {
	Took      time.Duration // from its start until it has reconciled all of them
	STSCalls  int
	Requests  requests
	CPU       time.Duration
	RSS, Peak int // bytes
}

// renewalPhase is a time in which renewals come due at a steady rate.
type renewalPhase struct {
	N, Rate            int
	Lifetime           time.Duration
	IdleCores          float64 // before
	Took               time.Duration
	Renewals, STSCalls int
	P50, P99, Max      time.Duration // from the due time until the status is updated
	Cores              float64
	Requests           requests
	Expired            time.Duration // as observed
	ExpiredMetric      float64       // seconds, as the manager reports
	RSS, Peak          int           // bytes
}
