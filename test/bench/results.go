// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import "time"

// results are all that one run has measured.
type results struct {
	Conditions conditions
	Sizes      []sized
	Crowded    sized
	Renewal    renewalPhase
	Agent      agentCost
	Took       time.Duration
	Missing    string // why not all was measured; empty if it was
}

// sized is what was measured with N credentials. Waiting: they exist before; Created: their creation is in it.
type sized struct {
	N                          int
	FloorWaiting, FloorCreated issue
	Waiting, Created           issue
	Restart                    restart
}

// issue is the first issue of N credentials. CPU and memory are the manager's; the floor has none of its own.
type issue struct {
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
	Took      time.Duration // from its start until it has looked at all of them
	STSCalls  int
	Requests  requests
	CPU       time.Duration
	RSS, Peak int // bytes
}

// renewalPhase is some time in which renewals come due at a steady rate.
type renewalPhase struct {
	N, Rate            int
	Lifetime           time.Duration
	IdleCores          float64 // before
	Took               time.Duration
	Renewals, STSCalls int
	P50, P99, Max      time.Duration // from when it was due until the status told of the new one
	Cores              float64
	Requests           requests
	Expired            time.Duration // as observed
	ExpiredMetric      float64       // seconds, as the manager tells
	RSS, Peak          int           // bytes
}
