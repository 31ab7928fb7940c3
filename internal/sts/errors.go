// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package sts

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
)

// Class says what a failure asks of whoever meets it.
type Class int

const (
	// Invalid means that STS calls the spec wrong. Retry slowly: the answer may be STS's own mistake.
	Invalid Class = iota + 1
	// Refused means that an administrator must act in RAM or on the operator's
	// installation, which sends no Kubernetes event. Retry slowly.
	Refused
	// StaleIdentity means that STS does not know the keys that signed (any more). Fetch
	// the identity anew, once; then treat it as Refused.
	StaleIdentity
	// Throttled means too many calls for this account. As Transient, but every
	// caller of the account slows down.
	Throttled
	// Transient means that STS, or the way to it, failed. Retry with backoff.
	Transient
)

// String is the class's name.
func (c Class) String() string {
	switch c {
	case Invalid:
		return "Invalid"
	case Refused:
		return "Refused"
	case StaleIdentity:
		return "StaleIdentity"
	case Throttled:
		return "Throttled"
	case Transient:
		return "Transient"
	default:
		return "Unknown"
	}
}

// The condition reasons that a failed call to STS ends in, as the API names them.
const (
	ReasonInvalidSpec         = v1alpha1.ReasonInvalidSpec
	ReasonRoleRefused         = v1alpha1.ReasonRoleRefused
	ReasonIdentityUnavailable = v1alpha1.ReasonIdentityUnavailable
	ReasonThrottled           = v1alpha1.ReasonThrottled
	ReasonSTSUnavailable      = v1alpha1.ReasonSTSUnavailable
)

// Error is a failed call to STS, classified. Its text is safe to show: it holds
// codes, identifiers and own words, never a URL, a key, a token or STS's Message.
type Error struct {
	// Action is the STS action, such as AssumeRole.
	Action string
	// Code is STS's error code; empty when there was no answer of STS's own
	// (network, timeout, something unreadable).
	Code string
	// RequestID is STS's, empty as Code may be.
	RequestID string
	// Class says what to do with the failure.
	Class Class
	// Reason is the condition reason, one of the Reason constants.
	Reason string
	// RetryAfter is how long a throttling answer asked to wait; 0 if untold.
	RetryAfter time.Duration
	// NextStep says in own words what happened and what to do about it.
	NextStep string

	// rule and names let WithCaller and WithSubject write NextStep again.
	rule  rule
	names names
	// cause is context.Canceled, context.DeadlineExceeded or nil: nothing else
	// is wrapped, since the texts of network errors hold the request's URL.
	cause error
}

// Error is "Action: Code (RequestId …): next step", leaving out what is unknown.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Action + ": ")
	if e.Code != "" {
		b.WriteString(e.Code)
		if e.RequestID != "" {
			fmt.Fprintf(&b, " (RequestId %s)", e.RequestID)
		}
		b.WriteString(": ")
	}
	b.WriteString(e.NextStep)
	return b.String()
}

// Unwrap is context.Canceled or context.DeadlineExceeded when the call ended for
// that, else nil.
func (e *Error) Unwrap() error { return e.cause }

// WithCaller is the same error, its next step naming whoever asked: arn is what
// GetCallerIdentity says. An empty or odd arn changes nothing.
func (e *Error) WithCaller(arn string) *Error {
	caller := principal(arn)
	if e.rule.next == "" || caller == "" {
		return e
	}
	named := *e
	named.names.caller = caller
	if e.rule.code == rootAccount.code && rootARN.MatchString(caller) {
		named.rule = rootAccount // the one cause there is
	}
	named.NextStep = named.rule.nextStep(named.names)
	return &named
}

// Subject is who asked with an OIDC token, in the words of a trust policy.
type Subject struct {
	// Name is oidc:sub, system:serviceaccount:<namespace>:<name>.
	Name string
	// ProviderARN is the OIDC provider that was named to STS.
	ProviderARN string
	// Issuer is oidc:iss, a URL; empty if it is not known.
	Issuer string
}

// WithSubject is the same error, its next step naming whoever asked.
func (e *Error) WithSubject(who Subject) *Error {
	return e.renamed(func(n *names) { n.subject = who })
}

// Origin says where values of a request came from.
type Origin struct {
	// DefaultSession: the session name is the default, not of the spec.
	DefaultSession bool
	// Policy is what the session policy belongs to, such as "the policy of StsRoleGrant shop"; empty means spec.policy.
	Policy string
}

// WithOrigin is the same error, its next step saying where the values came from.
func (e *Error) WithOrigin(o Origin) *Error { return e.renamed(func(n *names) { n.origin = o }) }

// WithEndpoint is the same error, its next step naming where was called, in the words of Client.Where.
func (e *Error) WithEndpoint(where string) *Error {
	return e.renamed(func(n *names) { n.endpoint = where })
}

// renamed is the same error with other names in its next step.
func (e *Error) renamed(change func(*names)) *Error {
	if e.rule.next == "" {
		return e
	}
	named := *e
	change(&named.names)
	named.NextStep = named.rule.nextStep(named.names)
	return &named
}

var (
	userOrRoleARN  = regexp.MustCompile(`^acs:ram::[0-9]{1,32}:(?:user|role)/[A-Za-z0-9._@-]{1,128}$`)
	assumedRoleARN = regexp.MustCompile(`^(acs:ram::[0-9]{1,32}):assumed-role/([A-Za-z0-9._-]{1,128})/[^/]+$`)
	rootARN        = regexp.MustCompile(`^acs:ram::[0-9]{1,32}:root$`)
)

// principal is what a trust policy calls the caller: a session of a role appears
// there as the role itself. Anything else than a well-formed ARN is "".
func principal(arn string) string {
	if m := assumedRoleARN.FindStringSubmatch(arn); m != nil {
		return m[1] + ":role/" + m[2]
	}
	if userOrRoleARN.MatchString(arn) || rootARN.MatchString(arn) {
		return arn
	}
	return ""
}

// What STS's codes and request ids look like. A broken answer can hold anything
// in their place, and both are shown: what looks otherwise is left out.
var (
	codeFormat      = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$`)
	requestIDFormat = regexp.MustCompile(`^[A-Za-z0-9-]{1,64}$`)
)

func wellFormed(s string, format *regexp.Regexp) string {
	if format.MatchString(s) {
		return s
	}
	return ""
}
