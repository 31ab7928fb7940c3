// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package sts

import (
	"errors"
	"slices"
	"strings"
	"time"
)

// The actions of STS that the client calls.
const (
	ActionAssumeRole         = "AssumeRole"
	ActionAssumeRoleWithOIDC = "AssumeRoleWithOIDC"
	ActionGetCallerIdentity  = "GetCallerIdentity"
)

// Results of calls other than a known code.
const (
	resultOK           = "OK"
	resultOther        = "other" // an unknown code
	resultTimeout      = "Timeout"
	resultUnreachable  = "Unreachable"
	resultBrokenAnswer = "BrokenAnswer"
	resultCanceled     = "Canceled"
)

// Results returns all results of a call: the known codes of STS, and the results above. The list is short, whatever STS or a
// proxy answers.
func Results() []string {
	all := []string{resultOK, resultOther, resultTimeout, resultUnreachable, resultBrokenAnswer, resultCanceled}
	for _, c := range errorClasses {
		all = append(all, c.result())
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// result returns the code without the '*' of a prefix.
func (c errorClass) result() string { return strings.TrimSuffix(c.code, "*") }

// observeCall observes a call that began at that time and ended with *err.
func (c *Client) observeCall(action string, began time.Time, err *error) {
	if result := resultOf(*err); result != "" {
		c.observe(action, result, c.clock.Now().Sub(began))
	}
}

// resultOf returns the result of a call; "" if nothing was sent.
func resultOf(err error) string {
	var failed *Error
	if !errors.As(err, &failed) {
		return resultOK
	}
	if failed.Code == "" {
		return failed.errorClass.code
	}
	if i := slices.IndexFunc(errorClasses, func(c errorClass) bool { return c.matches(failed.Code) }); i >= 0 {
		return errorClasses[i].result()
	}
	return resultOther
}
