// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package observer watches from outside whether the operator keeps its promises: it is told what STS issued, what every
// version of every Secret holds and what was done to the operator, and says what is not as it must be. It knows nothing of
// the operator's code, and takes no word of the operator's for true.
package observer

import (
	"sync"
	"time"
)

// Triple is what a program needs to call Alibaba Cloud.
type Triple struct{ ID, Secret, Token string }

// Issue is a session that STS handed out, whole.
type Issue struct {
	Triple
	// Role is the ARN that was assumed, Session the session's name.
	Role, Session string
	// IssuedAt and ExpiresAt by STS's clock.
	IssuedAt, ExpiresAt time.Time

	number int // in the order of issue, from 1
}

// margin is the part of a session's life, a third, in which it must have been replaced.
func (i *Issue) margin() time.Duration { return i.ExpiresAt.Sub(i.IssuedAt) / 3 }

// Violation is a promise that was not kept.
type Violation struct {
	At time.Time
	// Fault is what was being done to the operator.
	Fault string
	// What was broken, in one line, with nothing secret in it.
	What string
}

// Observer collects what it is told and what is wrong. Create it with New; it is safe for concurrent use.
type Observer struct {
	calm, recovery time.Duration

	mu         sync.Mutex
	fault      string
	issues     map[string]*Issue // by AccessKeyId
	sessions   map[string][]*Issue
	withheld   []string
	secrets    map[string]*held
	wanted     map[string]*wanted
	blackouts  []interval
	violations []Violation
	told       map[string]bool
	versions   int
	looks      int
	wishes     map[string]int
}

// New returns an observer. calm is how long STS and the API server must have been there without a break, while a session
// was due, before it is the operator's fault that it expired; recovery how long they must have been since it expired.
func New(calm, recovery time.Duration) *Observer {
	return &Observer{
		calm: calm, recovery: recovery, issues: map[string]*Issue{}, sessions: map[string][]*Issue{}, secrets: map[string]*held{}, wanted: map[string]*wanted{},
		told: map[string]bool{}, wishes: map[string]int{},
	}
}

// Issued tells of a session before anybody else can know of it.
func (o *Observer) Issued(i Issue) {
	o.mu.Lock()
	defer o.mu.Unlock()
	i.number = len(o.issues) + 1
	o.issues[i.ID] = &i
	o.sessions[i.Session] = append(o.sessions[i.Session], &i)
}

// Withheld tells of secret values that STS made and did not hand out whole: they must be in no Secret and no log.
func (o *Observer) Withheld(values ...string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, v := range values {
		if v != "" {
			o.withheld = append(o.withheld, v)
		}
	}
}

// Begins names what is done to the operator from now on.
func (o *Observer) Begins(fault string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.fault = fault
}

// Violate notes what somebody else found to be wrong.
func (o *Observer) Violate(at time.Time, what string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.violate(at, what, what)
}

// violate notes what is wrong, once for each key.
func (o *Observer) violate(at time.Time, key, what string) {
	if o.told[key] {
		return
	}
	o.told[key] = true
	o.violations = append(o.violations, Violation{At: at, Fault: o.fault, What: what})
}

// Violations are all so far.
func (o *Observer) Violations() []Violation {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([]Violation(nil), o.violations...)
}

// Versions is how many versions of Secrets were looked at.
func (o *Observer) Versions() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.versions
}

// Looks is how many times a Secret was held against the clock.
func (o *Observer) Looks() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.looks
}
