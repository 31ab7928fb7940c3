// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package sts asks Alibaba Cloud's Security Token Service for temporary
// credentials, and says of every failure what to do next.
package sts

import (
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"
)

// redacted is all that a key ever prints as.
const redacted = "redacted"

// Keys sign a request: a RAM user's AccessKey, or a temporary triple (then
// SecurityToken is set). They print as "redacted" under every fmt verb, in JSON
// and in logs. Only in unexported fields does fmt go past their methods: what keeps
// them there hides them in a function, as identity.Operator does.
type Keys struct {
	AccessKeyID     string
	AccessKeySecret string
	SecurityToken   string
}

// Format prints "redacted", whatever the verb.
func (Keys) Format(s fmt.State, _ rune) { writeRedacted(s) }

// MarshalText is "redacted", for JSON, YAML and text encoders; never an error.
func (Keys) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// LogValue is "redacted", for log/slog.
func (Keys) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalLog is "redacted", for logr.
func (Keys) MarshalLog() any { return redacted }

// wellFormed tells whether the keys can sign: both parts are there, and none
// holds what the HTTP header would not, such as the line break that an editor adds.
func (k Keys) wellFormed() bool {
	unprintable := func(r rune) bool { return r <= ' ' || r >= 0x7f }
	return k.AccessKeyID != "" && k.AccessKeySecret != "" &&
		!strings.ContainsFunc(k.AccessKeyID+k.AccessKeySecret+k.SecurityToken, unprintable)
}

// Session is what STS issued, whole: all three parts of the triple and both
// times are set. It prints as "redacted" as Keys do, with the same exception.
type Session struct {
	AccessKeyID     string
	AccessKeySecret string
	SecurityToken   string

	// IssuedAt is when STS answered, by STS's clock (the answer's Date; without
	// one the local clock corrected by the skew known so far).
	IssuedAt time.Time
	// ExpiresAt is the Expiration that STS returned, by STS's clock. It can be
	// sooner than was asked for. Where it is later than any session lives, it is as
	// was asked for.
	ExpiresAt time.Time

	// AssumedRoleARN is acs:ram::<account>:role/<role>/<session>, of at most 512 bytes;
	// empty if STS left it out.
	AssumedRoleARN string
	// AssumedRoleID is <number>:<session>, of at most 256 bytes; empty if STS left it out.
	AssumedRoleID string
	// RequestID is what Alibaba Cloud's support and ActionTrail know the call by.
	RequestID string
}

// Format prints "redacted", whatever the verb.
func (Session) Format(s fmt.State, _ rune) { writeRedacted(s) }

// MarshalText is "redacted", for JSON, YAML and text encoders; never an error.
func (Session) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// LogValue is "redacted", for log/slog.
func (Session) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalLog is "redacted", for logr.
func (Session) MarshalLog() any { return redacted }

func writeRedacted(w io.Writer) {
	_, _ = io.WriteString(w, redacted) // a failing writer has nowhere to be told
}
