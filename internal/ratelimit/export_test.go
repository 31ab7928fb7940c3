// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package ratelimit

// Buckets is how many token buckets are kept now.
func (b *Budget) Buckets() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.accounts) + len(b.unaccepted.members)
}
