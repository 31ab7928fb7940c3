// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package observer checks the operator's guarantees. The test reports to it what STS issued, every version of every Secret, and the
// injected faults. It returns violations. It uses neither the operator's code nor anything that the operator reports.
package observer

import (
	"sync"
	"time"
)

// Credentials are what a program needs to call Alibaba Cloud.
type Credentials struct{ ID, Secret, Token string }

// Issuance is a session that STS issued.
type Issuance struct {
	Credentials
	// Role is the ARN that was assumed, Session the session's name.
	Role, Session string
	// IssuedAt and ExpiresAt by STS's clock.
	IssuedAt, ExpiresAt time.Time

	number int // in the order of issuance, from 1
}

// margin is the part of a session's life, a third, in which it must have been replaced.
func (i *Issuance) margin() time.Duration { return i.ExpiresAt.Sub(i.IssuedAt) / 3 }

// Violation is a violation of a guarantee.
type Violation struct {
	At time.Time
	// Fault is the fault that was injected.
	Fault string
	// What was violated, in one line, without secret values.
	What string
}

// Observer collects reports and violations. Create it with New. It is safe for concurrent use.
type Observer struct {
	calm, recovery time.Duration

	mu         sync.Mutex
	fault      string
	issuances  map[string]*Issuance // by AccessKeyId
	sessions   map[string][]*Issuance
	withheld   []string
	secrets    map[string]*held
	desired    map[string]*desired
	outages    []interval
	violations []Violation
	reported   map[string]bool
	versions   int
	checks     int
	requests   map[string]int
}

// New returns an observer. An expired session is a violation if STS and the API server were available for calm in a row while the
// renewal was due, or for recovery since the expiration.
func New(calm, recovery time.Duration) *Observer {
	return &Observer{
		calm: calm, recovery: recovery, issuances: map[string]*Issuance{}, sessions: map[string][]*Issuance{}, secrets: map[string]*held{}, desired: map[string]*desired{},
		reported: map[string]bool{}, requests: map[string]int{},
	}
}

// Issued records a session. Call it before STS answers.
func (o *Observer) Issued(i Issuance) {
	o.mu.Lock()
	defer o.mu.Unlock()
	i.number = len(o.issuances) + 1
	o.issuances[i.ID] = &i
	o.sessions[i.Session] = append(o.sessions[i.Session], &i)
}

// Withheld records secret values of an incomplete response: they must be in no Secret and no log.
func (o *Observer) Withheld(values ...string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, v := range values {
		if v != "" {
			o.withheld = append(o.withheld, v)
		}
	}
}

// Begins records the fault that is injected from now on.
func (o *Observer) Begins(fault string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.fault = fault
}

// Violate records a violation that the caller found.
func (o *Observer) Violate(at time.Time, what string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.violate(at, what, what)
}

// violate records a violation, once for each key.
func (o *Observer) violate(at time.Time, key, what string) {
	if o.reported[key] {
		return
	}
	o.reported[key] = true
	o.violations = append(o.violations, Violation{At: at, Fault: o.fault, What: what})
}

// Violations returns the violations until now.
func (o *Observer) Violations() []Violation {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([]Violation(nil), o.violations...)
}

// Versions returns the number of recorded versions of Secrets.
func (o *Observer) Versions() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.versions
}

// Checks is how many times a Secret was held against the clock.
func (o *Observer) Checks() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.checks
}
