// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package budget simulates days of many credentials in the milliseconds that the decisions take: internal/renewal says
// when each is due, internal/ratelimit whose turn it is, and a clock is stepped from one event to the next. Its tests hold
// docs/budget.md to what comes out. They are of one thread and long under the race detector, so they run without it.
package budget
