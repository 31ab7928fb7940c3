// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package sts

import (
	"errors"
	"slices"
	"strings"
	"time"
)

// The actions that are called.
const (
	ActionAssumeRole         = "AssumeRole"
	ActionAssumeRoleWithOIDC = "AssumeRoleWithOIDC"
	ActionGetCallerIdentity  = "GetCallerIdentity"
)

// How calls end other than with a code of the table.
const (
	outcomeOK           = "OK"
	outcomeOther        = "other" // a code that the table does not know
	outcomeTimeout      = "Timeout"
	outcomeUnreachable  = "Unreachable"
	outcomeBrokenAnswer = "BrokenAnswer"
	outcomeCanceled     = "Canceled"
)

// Outcomes are all that a call can be observed to end with: STS's codes as the table has them, or one of the words above.
// It is a short list whatever STS, or something in its place, answers.
func Outcomes() []string {
	all := []string{outcomeOK, outcomeOther, outcomeTimeout, outcomeUnreachable, outcomeBrokenAnswer, outcomeCanceled}
	for _, r := range rules {
		all = append(all, r.outcome())
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// outcome is a code without the '*' of a prefix.
func (r rule) outcome() string { return strings.TrimSuffix(r.code, "*") }

// ended tells of a call that began at that time and ended with *err.
func (c *Client) ended(action string, began time.Time, err *error) {
	if outcome := outcomeOf(*err); outcome != "" {
		c.observe(action, outcome, c.clock.Now().Sub(began))
	}
}

// outcomeOf is "" where nothing was sent.
func outcomeOf(err error) string {
	var failed *Error
	if !errors.As(err, &failed) {
		return outcomeOK
	}
	if failed.Code == "" {
		return failed.rule.code
	}
	if i := slices.IndexFunc(rules, func(r rule) bool { return r.matches(failed.Code) }); i >= 0 {
		return rules[i].outcome()
	}
	return outcomeOther
}
