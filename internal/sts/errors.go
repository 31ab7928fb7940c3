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

// Class is what to do about a failed call.
type Class string

const (
	// Invalid means that STS rejects a value of the spec. Retry slowly: STS may be wrong.
	Invalid Class = "Invalid"
	// Refused means that an administrator must change RAM or the operator's installation. No watch reports such a change:
	// retry slowly.
	Refused Class = "Refused"
	// StaleIdentity means that STS does not know, or no longer knows, the credentials that signed the call. Fetch the identity
	// again, once; then treat it as Refused.
	StaleIdentity Class = "StaleIdentity"
	// Throttled means too many calls for this account. Retry with backoff, and slow down all calls of the account.
	Throttled Class = "Throttled"
	// Transient means that STS, or the connection to it, failed. Retry with backoff.
	Transient Class = "Transient"
)

// The condition reasons of a failed call to STS.
const (
	ReasonInvalidSpec         = v1alpha1.ReasonInvalidSpec
	ReasonRoleRefused         = v1alpha1.ReasonRoleRefused
	ReasonIdentityUnavailable = v1alpha1.ReasonIdentityUnavailable
	ReasonThrottled           = v1alpha1.ReasonThrottled
	ReasonSTSUnavailable      = v1alpha1.ReasonSTSUnavailable
)

// Error is a failed call to STS, classified. Its text is safe to show: it never holds a URL, an AccessKey, a token or STS's
// Message.
type Error struct {
	// Action is the STS action, such as AssumeRole.
	Action string
	// Code is STS's error code; empty without a response of STS (network, timeout, malformed response).
	Code string
	// RequestID identifies the call for Alibaba Cloud's support; empty without a response of STS.
	RequestID string
	// Class is what to do about the failure.
	Class Class
	// Reason is the condition reason, one of the Reason constants.
	Reason string
	// RetryAfter is the wait that a throttling response requires; 0 if unknown.
	RetryAfter time.Duration
	// NextStep is the cause and the next step.
	NextStep string

	// errorClass and values are for formatting NextStep again, with more values.
	errorClass errorClass
	values     messageValues
	// cause is context.Canceled, context.DeadlineExceeded or nil. Nothing else is wrapped, because the texts of network errors
	// hold the request's URL.
	cause error
}

// Error returns "<action>: <code> (RequestId <ID>): <cause>. <next step>", without what is unknown.
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

// Unwrap returns context.Canceled or context.DeadlineExceeded if the context ended the call, else nil.
func (e *Error) Unwrap() error { return e.cause }

// WithCaller returns the error with the caller's ARN, as GetCallerIdentity returns it, in its message. An empty or malformed
// ARN changes nothing.
func (e *Error) WithCaller(arn string) *Error {
	caller := principal(arn)
	if caller == "" {
		return e
	}
	named := *e
	if e.errorClass.code == rootAccount.code && rootARN.MatchString(caller) {
		named.errorClass = rootAccount
	}
	return named.with(func(v *messageValues) { v.caller = caller })
}

// Subject is the subject of an OIDC token, as a trust policy names it.
type Subject struct {
	// Name is oidc:sub, system:serviceaccount:<namespace>:<name>.
	Name string
	// ProviderARN is the OIDC provider of the request.
	ProviderARN string
	// Issuer is oidc:iss, a URL; empty if it is not known.
	Issuer string
}

// WithSubject returns the error with the subject of the OIDC token in its message.
func (e *Error) WithSubject(who Subject) *Error {
	return e.with(func(v *messageValues) { v.subject = who })
}

// Origin is where values of a request come from.
type Origin struct {
	// DefaultSession: the session name is the default, not the spec's.
	DefaultSession bool
	// Policy is the source of the session policy, such as "the policy of StsRoleGrant shop"; empty means spec.policy.
	Policy string
}

// WithOrigin returns the error with the origin of the request's values in its message.
func (e *Error) WithOrigin(o Origin) *Error { return e.with(func(v *messageValues) { v.origin = o }) }

// WithEndpoint returns the error with the endpoint in its message; see Client.EndpointDescription.
func (e *Error) WithEndpoint(description string) *Error {
	return e.with(func(v *messageValues) { v.endpoint = description })
}

// with returns the error with changed values in its message.
func (e *Error) with(change func(*messageValues)) *Error {
	if e.errorClass.message == "" {
		return e
	}
	changed := *e
	change(&changed.values)
	changed.NextStep = changed.errorClass.format(changed.values)
	return &changed
}

var (
	userOrRoleARN  = regexp.MustCompile(`^acs:ram::[0-9]{1,32}:(?:user|role)/[A-Za-z0-9._@-]{1,128}$`)
	assumedRoleARN = regexp.MustCompile(`^(acs:ram::[0-9]{1,32}):assumed-role/([A-Za-z0-9._-]{1,128})/[^/]+$`)
	rootARN        = regexp.MustCompile(`^acs:ram::[0-9]{1,32}:root$`)
)

// principal returns the caller as a trust policy names it: a session of a role is named as the role itself. It is empty for a
// malformed ARN.
func principal(arn string) string {
	if m := assumedRoleARN.FindStringSubmatch(arn); m != nil {
		return m[1] + ":role/" + m[2]
	}
	if userOrRoleARN.MatchString(arn) || rootARN.MatchString(arn) {
		return arn
	}
	return ""
}

// Formats of STS's codes and request IDs. Both are shown, and a malformed response can hold anything in their place: a value of
// another form is left out.
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
