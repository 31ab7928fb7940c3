// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package identity

import (
	"sync"

	"k8s.io/utils/lru"
)

const (
	// maxNamespaces is the maximum number of namespaces in a cache.
	maxNamespaces = 10000
	// maxPerNamespace is the maximum number of entries of a namespace, of a few hundred bytes each: more than the quota of
	// StsCredentials that docs/security.md recommends.
	maxPerNamespace = 200
)

// perNamespace is a cache in which a namespace evicts its own entries only. It is safe for concurrent use.
type perNamespace struct {
	mu         sync.Mutex
	namespaces *lru.Cache // namespace -> *lru.Cache
}

func newPerNamespace() *perNamespace { return &perNamespace{namespaces: lru.New(maxNamespaces)} }

// get returns the entry of a namespace and key.
func (c *perNamespace) get(namespace string, key any) (value any, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	entries, ok := c.namespaces.Get(namespace)
	if !ok {
		return nil, false
	}
	return entries.(*lru.Cache).Get(key)
}

// add adds an entry, and evicts the least recently used one of the namespace if there are too many.
func (c *perNamespace) add(namespace string, key, value any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	entries, ok := c.namespaces.Get(namespace)
	if !ok {
		entries = lru.New(maxPerNamespace)
		c.namespaces.Add(namespace, entries)
	}
	entries.(*lru.Cache).Add(key, value)
}

// remove removes an entry.
func (c *perNamespace) remove(namespace string, key any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	entries, ok := c.namespaces.Get(namespace)
	if !ok {
		return
	}
	if entries.(*lru.Cache).Remove(key); entries.(*lru.Cache).Len() == 0 {
		c.namespaces.Remove(namespace)
	}
}
