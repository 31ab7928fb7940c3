// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package stsemulator is a Security Token Service that speaks the real one's wire: it verifies signatures, timestamps
// and nonces, evaluates trust, issues triples that work until they expire, records every call and fails on demand.
// It serves tests, the demo, e2e and benchmarks; nothing in the manager imports it.
package stsemulator

import (
	"net/http"
	"time"

	"k8s.io/utils/clock"
)

// Options configures an Emulator; the zero value works.
type Options struct {
	// Clock is STS's own clock: issue times, Expiration, the Date header and the expiry of issued triples.
	// Default: the real clock.
	Clock clock.PassiveClock

	// RequestClock is the one against which a request's timestamp (±15 min) and an OIDC token's validity are
	// checked. Default: Clock. A test that steps Clock by hours sets a real clock here, since SDKs sign with the
	// real time.
	RequestClock clock.PassiveClock
}

// Emulator is an STS in memory: an http.Handler, safe for concurrent use. Create it with New.
type Emulator struct {
	clock        clock.PassiveClock
	requestClock clock.PassiveClock

	directory directory
	tokens    tokenSealer
	nonces    nonceLog
	faults    faultList
	calls     callLog
}

// New returns an Emulator that knows no user, role or provider yet.
func New(options Options) *Emulator {
	if options.Clock == nil {
		options.Clock = clock.RealClock{}
	}
	if options.RequestClock == nil {
		options.RequestClock = options.Clock
	}
	return &Emulator{
		clock:        options.Clock,
		requestClock: options.RequestClock,
		directory: directory{
			keys:      map[string]*keyEntry{},
			roles:     map[string]Role{},
			providers: map[string]OIDCProvider{},
		},
		tokens: newTokenSealer(),
		nonces: nonceLog{seen: map[string]time.Time{}},
	}
}

// action answers one documented STS action. The caller is the zero identity for an anonymous action.
type action struct {
	anonymous bool
	handle    func(*Emulator, *request, identity) (any, *apiError)
}

// lookupAction finds an action by its documented name.
func lookupAction(name string) (action, bool) {
	switch name {
	case "AssumeRole":
		return action{handle: (*Emulator).assumeRole}, true
	case "AssumeRoleWithOIDC":
		return action{anonymous: true, handle: (*Emulator).assumeRoleWithOIDC}, true
	case "GetCallerIdentity":
		return action{handle: (*Emulator).getCallerIdentity}, true
	default:
		return action{}, false
	}
}

// ServeHTTP answers one STS call.
func (e *Emulator) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	req, failure := newRequest(w, r)
	effects := e.faults.take(req, e.clock.Now())
	req.now = e.clock.Now().Add(effects.skew)
	req.signedAround = e.requestClock.Now().Add(effects.skew)
	req.effects = effects

	record := e.calls.begin(req)
	w.Header().Set("Date", req.now.UTC().Format(http.TimeFormat))
	w.Header().Set("x-acs-request-id", req.id)

	if !pause(r.Context(), effects.latency) {
		panic(http.ErrAbortHandler) // net/http ends the connection without a word
	}
	if effects.ending != nil {
		e.calls.end(record, effects.ending.outcome())
		effects.ending.play(w, req)
		return
	}
	var body any
	var caller identity
	if failure == nil {
		body, caller, failure = e.answer(req)
	}
	e.calls.end(record, outcome{status: statusOf(failure), code: codeOf(failure), callerARN: caller.arn})
	if failure != nil {
		failure.write(w, req)
		return
	}
	writeJSON(w, http.StatusOK, body)
}

// answer goes through the gateway's checks in the gateway's order, then hands over to the action.
func (e *Emulator) answer(req *request) (any, identity, *apiError) {
	act, failure := route(req)
	if failure != nil {
		return nil, identity{}, failure
	}
	var caller identity
	if !act.anonymous {
		if caller, failure = e.authenticate(req); failure != nil {
			return nil, identity{}, failure
		}
	}
	body, failure := act.handle(e, req, caller)
	return body, caller, failure
}
