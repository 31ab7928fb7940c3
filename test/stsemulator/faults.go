// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stsemulator

import (
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// FaultKind is what a Fault does.
type FaultKind string

// The kinds of faults. Those called endings replace the whole answer, and a call meets at most one of them; the
// others change how a call is answered, and a call meets all that match.
const (
	// FaultError is an ending: the error of Code, with its documented status and message unless Message is given.
	// Duration, if set, is announced as the time to wait, in the header x-ratelimit-user.
	FaultError FaultKind = "Error"
	// FaultThrottle is an ending for every matching call beyond CallsPerSecond within a second of STS's clock:
	// Throttling.User (or Code), with the time that is left in the header x-ratelimit-user.
	FaultThrottle FaultKind = "Throttle"
	// FaultEmpty is an ending: status 200 and no body.
	FaultEmpty FaultKind = "Empty"
	// FaultBadGateway is an ending: status 502 with a page of HTML.
	FaultBadGateway FaultKind = "BadGateway"
	// FaultHang is an ending: no answer until the client gives up.
	FaultHang FaultKind = "Hang"
	// FaultReset is an ending: the connection is reset.
	FaultReset FaultKind = "Reset"

	// FaultPartial leaves out of the answer what Missing names: AccessKeyId, AccessKeySecret, SecurityToken,
	// Expiration, or Credentials for all of it.
	FaultPartial FaultKind = "Partial"
	// FaultBadExpiration answers with an Expiration that is not a time.
	FaultBadExpiration FaultKind = "BadExpiration"
	// FaultLatency answers after Duration of real time.
	FaultLatency FaultKind = "Latency"
	// FaultShortLifetime issues for Duration where more was asked for.
	FaultShortLifetime FaultKind = "ShortLifetime"
	// FaultClockSkew adds Duration, which may be negative, to STS's clock: Date, Expiration, the check of timestamps.
	FaultClockSkew FaultKind = "ClockSkew"
)

// Fault is a scripted deviation. It applies to the calls that match Action, RoleARN and AccessKeyID (empty: any),
// before any check of the emulator's own.
type Fault struct {
	Action      string
	RoleARN     string
	AccessKeyID string

	// Times is how many calls are affected; 0 means all until Clear.
	Times int

	Kind           FaultKind
	Code           string        // Error, Throttle
	Message        string        // Error
	Missing        string        // Partial
	CallsPerSecond int           // Throttle; 0 lets nothing through
	Duration       time.Duration // Latency, ShortLifetime, ClockSkew; Error
}

// Inject adds a fault. Of several endings that match a call the first injected takes it, and the next has its turn
// once that one's Times are used up.
func (e *Emulator) Inject(fault Fault) {
	e.faults.mu.Lock()
	defer e.faults.mu.Unlock()
	e.faults.active = append(e.faults.active, &scripted{Fault: fault})
}

// Replace takes all faults away and injects others, with no call in between.
func (e *Emulator) Replace(faults ...Fault) {
	e.faults.mu.Lock()
	defer e.faults.mu.Unlock()
	e.faults.active = nil
	for _, fault := range faults {
		e.faults.active = append(e.faults.active, &scripted{Fault: fault})
	}
}

// Clear takes all faults away. What already hangs keeps hanging.
func (e *Emulator) Clear() {
	e.faults.mu.Lock()
	defer e.faults.mu.Unlock()
	e.faults.active = nil
}

// Faults returns the faults in force, in the order of injection; Times is what is left of them.
func (e *Emulator) Faults() []Fault {
	e.faults.mu.Lock()
	defer e.faults.mu.Unlock()
	faults := make([]Fault, len(e.faults.active))
	for i, fault := range e.faults.active {
		faults[i] = fault.Fault
	}
	return faults
}

// faultList holds the faults in force.
type faultList struct {
	mu     sync.Mutex
	active []*scripted
}

// scripted is a fault with its memory.
type scripted struct {
	Fault
	passed []time.Time // Throttle: the calls let through within the last second
}

// effects is what all faults together do to one call.
type effects struct {
	skew          time.Duration
	latency       time.Duration
	lifetime      time.Duration // 0: as asked
	missing       []string
	badExpiration bool
	ending        *ending
}

// take collects the effects on a call and uses up what they cost.
func (l *faultList) take(req *request, now time.Time) effects {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all effects
	for _, fault := range l.active {
		if fault.matches(req) && fault.affect(&all, now) && fault.Times > 0 {
			fault.Times--
			if fault.Times == 0 {
				fault.Times = usedUp
			}
		}
	}
	l.active = slices.DeleteFunc(l.active, func(f *scripted) bool { return f.Times == usedUp })
	return all
}

// usedUp marks a fault whose Times have run out, since 0 means without end.
const usedUp = -1

func (f *scripted) matches(req *request) bool {
	return (!f.concernsIssuing() || strings.HasPrefix(req.action(), "AssumeRole")) &&
		(f.Action == "" || f.Action == req.action()) &&
		(f.RoleARN == "" || f.RoleARN == req.param("RoleArn")) &&
		(f.AccessKeyID == "" || f.AccessKeyID == req.accessKeyID())
}

// concernsIssuing reports whether the fault has a meaning only where credentials are issued.
func (f *scripted) concernsIssuing() bool {
	return f.Kind == FaultPartial || f.Kind == FaultBadExpiration || f.Kind == FaultShortLifetime
}

// affect adds the fault to a call's effects and reports whether it had any.
func (f *scripted) affect(all *effects, now time.Time) bool {
	switch f.Kind {
	case FaultPartial:
		all.missing = append(all.missing, f.Missing)
	case FaultBadExpiration:
		all.badExpiration = true
	case FaultLatency:
		all.latency += f.Duration
	case FaultShortLifetime:
		all.lifetime = f.Duration
	case FaultClockSkew:
		all.skew += f.Duration
	case FaultThrottle, FaultError, FaultEmpty, FaultBadGateway, FaultHang, FaultReset:
		return f.end(all, now)
	}
	return true
}

// end makes the fault the call's ending, unless another is already or the rate allows the call.
func (f *scripted) end(all *effects, now time.Time) bool {
	if all.ending != nil {
		return false
	}
	wait := f.Duration
	if f.Kind == FaultThrottle {
		if wait = f.overRate(now); wait == 0 {
			return false
		}
	}
	all.ending = &ending{Fault: f.Fault, wait: wait}
	return true
}

// overRate returns 0 and counts the call if the rate allows it, or else how long until it will.
func (f *scripted) overRate(now time.Time) time.Duration {
	f.passed = slices.DeleteFunc(f.passed, func(at time.Time) bool { return now.Sub(at) >= time.Second })
	if len(f.passed) < f.CallsPerSecond {
		f.passed = append(f.passed, now)
		return 0
	}
	if len(f.passed) == 0 {
		return time.Second
	}
	return time.Second - now.Sub(f.passed[0])
}

// damage applies to a successful answer what the faults say.
func (e effects) damage(answer *assumeRoleAnswer) {
	if e.badExpiration {
		answer.Credentials.Expiration = "in a while"
	}
	for _, name := range e.missing {
		answer.omit(name)
	}
}

// omit leaves a part of the credentials out.
func (a *assumeRoleAnswer) omit(name string) {
	if a.Credentials == nil {
		return
	}
	switch name {
	case "AccessKeyId":
		a.Credentials.AccessKeyID = ""
	case "AccessKeySecret":
		a.Credentials.AccessKeySecret = ""
	case "SecurityToken":
		a.Credentials.SecurityToken = ""
	case "Expiration":
		a.Credentials.Expiration = ""
	case "Credentials":
		a.Credentials = nil
	}
}

// rateLimitHeader is the form in which the gateway announces a limit; TimeLeft is in milliseconds.
func rateLimitHeader(limit int, wait time.Duration) string {
	return "Limit:" + strconv.Itoa(limit) + ",Remain:0,TimeLeft:" + strconv.FormatInt(max(wait.Milliseconds(), 1), 10)
}
