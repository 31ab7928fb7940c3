// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stscredential

import (
	"errors"
	"fmt"
	"time"

	"github.com/stscredential/sts-credential-operator/internal/eventrecorder"
)

// reconcileError is the error of a step that becomes a condition. A step that must wait returns one, too, with waiting set.
// Any other error ends the reconcile, and controller-runtime retries with a backoff.
type reconcileError struct {
	// reason is that of the condition.
	reason string
	// message is that of the condition; it is bounded and holds no secret.
	message string
	// retryAfter is when to reconcile again; 0 if an event triggers that.
	retryAfter time.Duration
	// recoverable: a retry may succeed although no user or administrator acts.
	recoverable bool
	// waiting: nothing failed, the step waits. The message may be empty then.
	waiting bool
	// queued: the call waits for the budget.
	queued bool
	// altered: admission changed what was written.
	altered bool
}

// Error implements error.
func (e *reconcileError) Error() string { return e.message }

func newError(reason, format string, args ...any) *reconcileError {
	return &reconcileError{reason: reason, message: eventrecorder.Bounded(fmt.Sprintf(format, args...))}
}

// waitFor returns the error of a step that waits. why is for the condition Ready; it may be empty.
func waitFor(wait time.Duration, why string) *reconcileError {
	return &reconcileError{message: why, retryAfter: wait, waiting: true}
}

// retry returns e with the time of the next try.
func (e reconcileError) retry(after time.Duration) *reconcileError {
	e.retryAfter = after
	return &e
}

// first returns the first reconcileError, which is the one to report: the errors stand in the order of precedence of their
// reasons. A wait is returned only if nothing is wrong. Any other error ends the reconcile, and is returned as fatal.
func first(errs ...error) (reported *reconcileError, fatal error) {
	for _, err := range errs {
		var e *reconcileError
		switch {
		case err == nil:
		case !errors.As(err, &e):
			return nil, err
		case reported == nil, reported.waiting && !e.waiting:
			reported = e
		}
	}
	return reported, nil
}

// retries returns the delays after which failed and waiting steps are due again.
func retries(errs []error) (due []time.Duration) {
	for _, err := range errs {
		var e *reconcileError
		if errors.As(err, &e) && e.retryAfter > 0 {
			due = append(due, e.retryAfter)
		}
	}
	return due
}
