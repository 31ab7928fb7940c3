// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stsemulator

import (
	"sync"
	"time"
)

// nonceMemory is how long a nonce is remembered. A request signed at the far end of the window stays acceptable for
// twice the window; a later replay fails by its timestamp, so older nonces can go.
const nonceMemory = 2 * timestampWindow

// nonceLog remembers which nonces were used lately.
type nonceLog struct {
	mu    sync.Mutex
	seen  map[string]time.Time
	order []string // oldest first
}

// use notes a nonce and reports whether it was new.
func (l *nonceLog) use(nonce string, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.forget(now)
	if _, used := l.seen[nonce]; used {
		return false
	}
	l.seen[nonce] = now
	l.order = append(l.order, nonce)
	return true
}

// forget drops what is too old to matter, so that memory stays bounded by the rate of calls.
func (l *nonceLog) forget(now time.Time) {
	for len(l.order) > 0 && now.Sub(l.seen[l.order[0]]) > nonceMemory {
		delete(l.seen, l.order[0])
		l.order = l.order[1:]
	}
}
