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
	"k8s.io/utils/lru"

	"github.com/stscredential/sts-credential-operator/internal/sts"
)

// maxOwners is of how many AccessKeys the owner is remembered: more than a cluster
// has, at a few hundred bytes each.
const maxOwners = 1000

// owners knows whose AccessKeys are. It holds no key, only hashes of whole ones: one
// that was corrected is another.
type owners struct {
	sts     Asker
	timeout time.Duration
	clock   clock.PassiveClock
	flights singleflight.Group
	known   *lru.Cache // [sha256.Size]byte -> owner
}

// refusalHolds is how long a refused AccessKey is not asked about again: short, since it may be enabled any moment, but
// nobody can make the operator ask without end.
const refusalHolds = 10 * time.Second

// owner is what is known of an AccessKey: a caller or, while STS refuses it or does not answer, the failure.
type owner struct {
	caller  sts.Caller
	failing backoff
	refused bool // failing.err is STS's refusal
}

func newOwners(o AccessKeysOptions) *owners {
	if o.Timeout <= 0 {
		o.Timeout = whoamiTimeout
	}
	return &owners{sts: o.STS, timeout: o.Timeout, clock: o.Clock, known: lru.New(maxOwners)}
}

// ownerOf waits for STS no longer than the timeout, and after a failure not at all
// for a while (10 s growing to 5 min). The error is an *sts.Error, and only says that STS
// refuses the key, or did so within the last 10 s.
func (o *owners) ownerOf(ctx context.Context, namespace string, keys sts.Keys) (sts.Caller, error) {
	waiting, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	unknown := sts.Caller{Account: "key/" + namespace} // all of its unknown keys: it may make up any number
	hash := hashOf(keys)
	if caller, err, settled := o.remembered(hash, unknown); settled {
		return caller, err
	}
	// The call outlives those who gave up waiting: its answer serves the next.
	answered := o.flights.DoChan(string(hash[:]), func() (any, error) {
		return nil, o.ask(context.WithoutCancel(ctx), hash, keys)
	})
	select {
	case answer := <-answered:
		if answer.Err != nil {
			return sts.Caller{}, answer.Err
		}
	case <-waiting.Done():
	}
	caller, err, _ := o.remembered(hash, unknown)
	return caller, err
}

// remembered tells whether there is nothing to ask now.
func (o *owners) remembered(hash [sha256.Size]byte, unknown sts.Caller) (caller sts.Caller, err error, settled bool) {
	value, ok := o.known.Get(hash)
	if !ok {
		return unknown, nil, false
	}
	known := value.(owner)
	holds := known.failing.holds(o.clock.Now())
	switch {
	case known.caller.Account != "":
		return known.caller, nil, true
	case known.refused && holds:
		return sts.Caller{}, known.failing.err, true
	}
	return unknown, nil, holds
}

// ask makes the call. The error says that STS refuses the key.
func (o *owners) ask(ctx context.Context, hash [sha256.Size]byte, keys sts.Keys) error {
	if _, err, settled := o.remembered(hash, sts.Caller{}); settled {
		return err // somebody else's flight has just landed
	}
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	caller, err := o.sts.GetCallerIdentity(ctx, keys)
	if err == nil {
		o.known.Add(hash, owner{caller: caller})
		return nil
	}
	var failed *sts.Error
	if errors.As(err, &failed) && failed.Reason == sts.ReasonIdentityUnavailable {
		refused := owner{refused: true, failing: backoff{first: refusalHolds, last: refusalHolds}}
		refused.failing.failed(o.clock.Now(), err)
		o.known.Add(hash, refused)
		return err
	}
	known := owner{failing: backoff{first: firstWhoami, last: lastWhoami}}
	if value, ok := o.known.Get(hash); ok && !value.(owner).refused {
		known.failing = value.(owner).failing
	}
	known.failing.failed(o.clock.Now(), err)
	o.known.Add(hash, known)
	return nil
}

// forget makes the next ownerOf ask again.
func (o *owners) forget(keys sts.Keys) { o.known.Remove(hashOf(keys)) }

func hashOf(keys sts.Keys) [sha256.Size]byte {
	return sha256.Sum256([]byte(keys.AccessKeyID + "\x00" + keys.AccessKeySecret))
}
