// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stsemulator

import (
	"slices"
	"strconv"
	"sync"
	"time"
)

// maxCalls bounds the record of calls; when it is full the older half is dropped.
const maxCalls = 200_000

// Call is the record of one request. It holds no secret and no token.
type Call struct {
	// Time is when the call came, on STS's clock.
	Time           time.Time `json:"time"`
	Action         string    `json:"action"`
	RoleARN        string    `json:"roleARN,omitempty"`
	SessionName    string    `json:"sessionName,omitempty"`
	Policy         string    `json:"policy,omitempty"`
	ExternalID     string    `json:"externalID,omitempty"`
	SourceIdentity string    `json:"sourceIdentity,omitempty"`
	// DurationSeconds is what was asked for; 0 if it was left out.
	DurationSeconds int64 `json:"durationSeconds,omitempty"`
	// AccessKeyID is what the request claims to be signed with; empty if it is anonymous.
	AccessKeyID string `json:"accessKeyID,omitempty"`
	// CallerARN is who made the call, proven; empty if that did not come to be known.
	CallerARN string `json:"callerARN,omitempty"`
	UserAgent string `json:"userAgent,omitempty"`
	RequestID string `json:"requestID"`
	// OIDCTokenIn is where an OIDC token stood: "query", "body" or, without one, empty.
	OIDCTokenIn string `json:"oidcTokenIn,omitempty"`
	// Code is the error code that was answered; empty for success and for faults that answer without one.
	Code string `json:"code,omitempty"`
	// Status is the HTTP status that was answered; 0 while there is no answer, and for a hang or a reset for good.
	Status int `json:"status"`
}

// outcome is how a call ended.
type outcome struct {
	status    int
	code      string
	callerARN string
}

// callLog keeps the calls in the order in which they came.
type callLog struct {
	mu    sync.Mutex
	calls []*Call
}

// Calls returns all recorded calls, oldest first, those under way included.
func (e *Emulator) Calls() []Call {
	e.calls.mu.Lock()
	defer e.calls.mu.Unlock()
	calls := make([]Call, len(e.calls.calls))
	for i, call := range e.calls.calls {
		calls[i] = *call
	}
	return calls
}

// ForgetCalls empties the record.
func (e *Emulator) ForgetCalls() {
	e.calls.mu.Lock()
	defer e.calls.mu.Unlock()
	e.calls.calls = nil
}

// begin records a call that has come.
func (l *callLog) begin(req *request) *Call {
	seconds, _ := strconv.ParseInt(req.param("DurationSeconds"), 10, 64)
	call := &Call{
		Time:            req.now,
		Action:          req.action(),
		RoleARN:         req.param("RoleArn"),
		SessionName:     req.param("RoleSessionName"),
		Policy:          req.param("Policy"),
		ExternalID:      req.param("ExternalId"),
		SourceIdentity:  req.param("SourceIdentity"),
		DurationSeconds: seconds,
		AccessKeyID:     req.accessKeyID(),
		UserAgent:       req.http.UserAgent(),
		RequestID:       req.id,
		OIDCTokenIn:     placeOf(req, "OIDCToken"),
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.calls) >= maxCalls {
		l.calls = slices.Clone(l.calls[maxCalls/2:])
	}
	l.calls = append(l.calls, call)
	return call
}

// end completes a call's record.
func (l *callLog) end(call *Call, how outcome) {
	l.mu.Lock()
	defer l.mu.Unlock()
	call.Status, call.Code, call.CallerARN = how.status, how.code, how.callerARN
}

// placeOf returns where a parameter stands.
func placeOf(req *request, parameter string) string {
	switch {
	case req.query.Has(parameter):
		return "query"
	case req.form.Has(parameter):
		return "body"
	default:
		return ""
	}
}
