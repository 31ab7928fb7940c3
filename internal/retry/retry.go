// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package retry holds the delays after which the controllers reconcile an object again.
package retry

import "time"

const (
	// WriteConflict is the delay after another client wrote to the object that was to be written.
	WriteConflict = time.Second
	// Blocked is the interval between reads of an object that the operator does not watch, while it blocks the reconcile: for
	// example, a Secret of another owner, or a workload that cannot be restarted.
	Blocked = 5 * time.Minute
)
