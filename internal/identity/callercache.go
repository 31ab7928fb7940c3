// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package identity

import (
	"context"
	"crypto/sha256"
	"errors"
	"time"

	"golang.org/x/sync/singleflight"
	"k8s.io/utils/clock"

	"github.com/stscredential/sts-credential-operator/internal/credentials"
	"github.com/stscredential/sts-credential-operator/internal/sts"
)

const (
	// callerTimeout bounds GetCallerIdentity: calls that need its result go on without it.
	callerTimeout = 5 * time.Second
	// A failed GetCallerIdentity is repeated after firstCallerRetry, doubling to lastCallerRetry.
	firstCallerRetry = 10 * time.Second
	lastCallerRetry  = 5 * time.Minute
)

// callerCache caches the callers that GetCallerIdentity returns, and its failures for a while. It holds no AccessKey, only
// hashes of an ID and its secret: an AccessKey with a corrected secret is another one. A namespace evicts its own entries
// only.
type callerCache struct {
	sts     STSClient
	timeout time.Duration
	clock   clock.PassiveClock
	// lastRefusal is the longest time for which a refused AccessKey is not tried again.
	lastRefusal time.Duration
	// called is called after each call to STS.
	called   func(signer credentials.Credentials, caller sts.Caller, err error)
	inFlight singleflight.Group
	entries  *perNamespace // accessKeyHash -> callerEntry
}

type accessKeyHash [sha256.Size]byte

// callerEntry is a caller or, if known is false, the last failure.
type callerEntry struct {
	caller  sts.Caller
	known   bool
	failure backoff
}

// get returns the caller that signs with signer. It waits no longer than the timeout, and after a failure returns that
// failure for a while (10 s growing to 5 min) without a call. The error is GetCallerIdentity's or the context's. Concurrent
// calls for one namespace and AccessKey share a call to STS.
func (c *callerCache) get(ctx context.Context, namespace string, signer credentials.Credentials) (sts.Caller, error) {
	waiting, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	hash := hashOf(signer)
	if caller, err, ok := c.cached(namespace, hash); ok {
		return caller, err
	}
	// The call outlives those who stop waiting: its result serves the next.
	answered := c.inFlight.DoChan(namespace+"/"+string(hash[:]), func() (any, error) {
		return c.fetch(context.WithoutCancel(ctx), namespace, hash, signer)
	})
	select {
	case answer := <-answered:
		return answer.Val.(sts.Caller), answer.Err
	case <-waiting.Done():
		return sts.Caller{}, waiting.Err()
	}
}

// cached returns the result of an earlier call; ok is false if a call is needed.
func (c *callerCache) cached(namespace string, hash accessKeyHash) (caller sts.Caller, err error, ok bool) {
	value, found := c.entries.get(namespace, hash)
	if !found {
		return sts.Caller{}, nil, false
	}
	entry := value.(callerEntry)
	return entry.caller, entry.failure.err, entry.known || entry.failure.holds(c.clock.Now())
}

// fetch calls STS and caches the result.
func (c *callerCache) fetch(ctx context.Context, namespace string, hash accessKeyHash, signer credentials.Credentials) (sts.Caller, error) {
	if caller, err, ok := c.cached(namespace, hash); ok {
		return caller, err // another call has just ended
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	caller, err := c.sts.GetCallerIdentity(ctx, signer)
	c.called(signer, caller, err)
	if err == nil {
		c.entries.add(namespace, hash, callerEntry{caller: caller, known: true})
		return caller, nil
	}
	entry := callerEntry{failure: backoff{first: firstCallerRetry, last: lastCallerRetry}}
	if isRefusal(err) {
		entry.failure.last = c.lastRefusal
	}
	if value, found := c.entries.get(namespace, hash); found && value.(callerEntry).failure.last == entry.failure.last {
		entry.failure = value.(callerEntry).failure
	}
	entry.failure.failed(c.clock.Now(), err)
	c.entries.add(namespace, hash, entry)
	return sts.Caller{}, err
}

// forget removes the entry of an AccessKey.
func (c *callerCache) forget(namespace string, signer credentials.Credentials) {
	c.entries.remove(namespace, hashOf(signer))
}

// isRefusal reports whether STS rejected the AccessKey that signed the call.
func isRefusal(err error) bool {
	var failed *sts.Error
	return errors.As(err, &failed) && failed.Reason == sts.ReasonIdentityUnavailable
}

func hashOf(signer credentials.Credentials) accessKeyHash {
	return sha256.Sum256([]byte(signer.AccessKeyID + "\x00" + signer.AccessKeySecret))
}
