// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package credentials defines the credentials that sign a call and that STS issues, and the request for them.
package credentials

import (
	"fmt"
	"io"
	"log/slog"
	"regexp"
	"strings"
	"time"
)

// MaxLifetime is the longest lifetime of credentials that STS issues, 12 hours, and a little for its clock.
const MaxLifetime = 12*time.Hour + 10*time.Minute

// Credentials are a RAM user's AccessKey, of which only the ID and the secret are set, or temporary credentials. Of
// temporary credentials that an sts.Client returns, all three parts and both times are set. They print as Redacted does.
type Credentials struct {
	Redacted

	AccessKeyID     string
	AccessKeySecret string
	SecurityToken   string

	// IssuedAt is the time of STS's answer, by STS's clock: the header Date of the answer or, without one, the local clock
	// corrected by the skew known so far.
	IssuedAt time.Time
	// ExpiresAt is the Expiration that STS returned, by STS's clock. It can be earlier than was requested. An Expiration
	// beyond MaxLifetime is replaced by the requested duration.
	ExpiresAt time.Time

	// AssumedRoleARN is acs:ram::<account>:role/<role>/<session>, of at most 512 bytes; empty if STS left it out.
	AssumedRoleARN string
	// AssumedRoleID is <number>:<session>, of at most 256 bytes; empty if STS left it out.
	AssumedRoleID string
	// RequestID identifies the call in ActionTrail and for Alibaba Cloud's support.
	RequestID string
}

// WellFormed reports whether the credentials can sign a call: the ID and the secret are set, and no part holds a character
// that an HTTP header cannot, such as the line break that an editor adds.
func (c Credentials) WellFormed() bool {
	unprintable := func(r rune) bool { return r <= ' ' || r >= 0x7f }
	return c.AccessKeyID != "" && c.AccessKeySecret != "" &&
		!strings.ContainsFunc(c.AccessKeyID+c.AccessKeySecret+c.SecurityToken, unprintable)
}

// Request is a request for temporary credentials. Bounds are STS's own:
// https://api.aliyun.com/document/Sts/2015-04-01/AssumeRole.
type Request struct {
	// RoleARN is acs:ram::<account>:role/<name>; required.
	RoleARN string
	// SessionName is 2 to 64 of [A-Za-z0-9.@_-]; required.
	SessionName string
	// Duration is in whole seconds, from 15 min to the role's MaxSessionDuration; 0 = 1 h.
	Duration time.Duration
	// Policy is compact JSON of up to 2048 characters; "" = none.
	Policy string
	// ExternalID is 2 to 1224 characters; "" = none.
	ExternalID string
	// SourceIdentity is 2 to 64 characters; "" = none.
	SourceIdentity string
}

// UnknownAccessKeyID stands for an AccessKey ID of a form that is not documented, which may be anything.
const UnknownAccessKeyID = "an AccessKey ID of unknown form"

// accessKeyIDs are the documented forms: 16 to 24 letters and digits that begin with LTAI, of old without that, and STS. for
// temporary ones (https://rules.sonarsource.com/secrets/RSPEC-6336).
var accessKeyIDs = regexp.MustCompile(`^(?:LTAI[A-Za-z0-9]{12,20}|[A-Za-z0-9]{16}|STS\.[A-Za-z0-9]{1,64})$`)

// ShownAccessKeyID returns what may be shown of an AccessKey ID in status, logs and messages: the ID itself only if it has
// one of the documented forms, since private clouds have others and a misconfigured source can give a secret in its place.
func ShownAccessKeyID(id string) string {
	if id == "" || accessKeyIDs.MatchString(id) {
		return id
	}
	return UnknownAccessKeyID
}

const redacted = "redacted"

// Redacted is embedded in a type that holds secret values. The type then prints as "redacted" under every fmt verb, in
// JSON and in logs. fmt does not call methods of unexported fields: a struct that must keep a secret value in one keeps it
// in a function, as identity.Operator does.
type Redacted struct{}

// Format prints "redacted", whatever the verb.
func (Redacted) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, redacted) } // fmt reports no errors

// MarshalText returns "redacted", for JSON, YAML and text encoders; never an error.
func (Redacted) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// LogValue returns "redacted", for log/slog.
func (Redacted) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalLog returns "redacted", for logr.
func (Redacted) MarshalLog() any { return redacted }
