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
	"github.com/stscredential/sts-credential-operator/internal/ratelimit"
	"github.com/stscredential/sts-credential-operator/internal/sts"
)

// owners knows whose AccessKeys are. It holds no key, only hashes of whole ones: one
// that was corrected is another. Each namespace has a part of its own.
type owners struct {
	sts     STSClient
	timeout time.Duration
	clock   clock.PassiveClock
	flights singleflight.Group
	known   *perNamespace // keyHash -> owner
}

// keyHash stands for an AccessKey.
type keyHash [sha256.Size]byte

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
	return &owners{sts: o.STS, timeout: o.Timeout, clock: o.Clock, known: newPerNamespace()}
}

// identify asks STS whose a key is. It waits no longer than the timeout, and after a
// failure makes no call for a while (10 s growing to 5 min). While STS does not say,
// the Caller's Account is that of all unaccepted identities of the namespace. The error
// is an *sts.Error: STS refuses the key, or did so within the last 10 s, or it throttles
// the call. Callers of one namespace with one key share a call.
func (o *owners) identify(ctx context.Context, namespace string, keys credentials.Credentials) (sts.Caller, error) {
	waiting, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	hash := hashOf(keys)
	if caller, err, settled := o.remembered(namespace, hash); settled {
		return caller, err
	}
	// The call outlives those who gave up waiting: its answer serves the next.
	answered := o.flights.DoChan(namespace+"/"+string(hash[:]), func() (any, error) {
		return nil, o.ask(context.WithoutCancel(ctx), namespace, hash, keys)
	})
	select {
	case answer := <-answered:
		if answer.Err != nil {
			return sts.Caller{}, answer.Err
		}
	case <-waiting.Done():
	}
	caller, err, _ := o.remembered(namespace, hash)
	return caller, err
}

// remembered returns what is known of a key. settled reports whether there is nothing to ask now.
func (o *owners) remembered(namespace string, hash keyHash) (caller sts.Caller, err error, settled bool) {
	unknown := sts.Caller{Account: ratelimit.Unaccepted(namespace)}
	value, ok := o.known.get(namespace, hash)
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

// ask makes the call. The error says that STS refuses the key, or throttles the call.
func (o *owners) ask(ctx context.Context, namespace string, hash keyHash, keys credentials.Credentials) error {
	if _, err, settled := o.remembered(namespace, hash); settled {
		return err // somebody else's flight has just landed
	}
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	caller, err := o.sts.GetCallerIdentity(ctx, keys)
	if err == nil {
		o.known.add(namespace, hash, owner{caller: caller})
		return nil
	}
	var failed *sts.Error
	if errors.As(err, &failed) && failed.Reason == sts.ReasonIdentityUnavailable {
		refused := owner{refused: true, failing: backoff{first: refusalHolds, last: refusalHolds}}
		refused.failing.failed(o.clock.Now(), err)
		o.known.add(namespace, hash, refused)
		return err
	}
	known := owner{failing: backoff{first: firstWhoami, last: lastWhoami}}
	if value, ok := o.known.get(namespace, hash); ok && !value.(owner).refused {
		known.failing = value.(owner).failing
	}
	known.failing.failed(o.clock.Now(), err)
	o.known.add(namespace, hash, known)
	if failed != nil && failed.Class == sts.Throttled {
		return failed
	}
	return nil
}

// forget makes the next identify ask again.
func (o *owners) forget(namespace string, keys credentials.Credentials) {
	o.known.remove(namespace, hashOf(keys))
}

func hashOf(keys credentials.Credentials) keyHash {
	return sha256.Sum256([]byte(keys.AccessKeyID + "\x00" + keys.AccessKeySecret))
}
