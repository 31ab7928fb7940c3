// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package identity

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/stscredential/sts-credential-operator/internal/credentials"
	"github.com/stscredential/sts-credential-operator/internal/sts"
)

const (
	// whoamiTimeout bounds Identify; work goes on without its answer.
	whoamiTimeout = 5 * time.Second
	// After a failure it is tried again after firstWhoami, doubling to lastWhoami.
	firstWhoami = 10 * time.Second
	lastWhoami  = 5 * time.Minute
)

// STSClient asks STS with keys; *sts.Client does.
type STSClient interface {
	GetCallerIdentity(ctx context.Context, keys credentials.Credentials) (sts.Caller, error)
	AssumeRole(ctx context.Context, keys credentials.Credentials, in credentials.Request) (credentials.Credentials, error)
}

// whoami is what is known of the keys' owner. Operator's mutex guards it.
type whoami struct {
	caller      sts.Caller
	accessKeyID string // whose caller is
	failing     backoff
	failedFor   string // the AccessKey ID that failing is about
}

// Caller is what GetCallerIdentity said last. ok tells whether it said so of the
// keys in use; else it is of earlier keys, or zero, and Identify is yet to answer.
func (o *Operator) Caller() (caller sts.Caller, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.whoami.caller, o.keys != nil && o.whoami.accessKeyID == o.keys().AccessKeyID
}

// Identify asks STS who the keys in use belong to: once, and again when the
// AccessKey ID has changed, so it costs nothing to call it often. Its answer also
// gives the clock's skew. It waits no longer than 5 s; after a failure it returns
// that failure for a while (10 s growing to 5 min) without asking. The error is
// one of Keys', of GetCallerIdentity or of ctx: work goes on without.
func (o *Operator) Identify(ctx context.Context) error {
	waiting, cancel := context.WithTimeout(ctx, whoamiTimeout)
	defer cancel()
	keys, err := o.Credentials(waiting)
	if err != nil {
		return err
	}
	if err, settled := o.identified(keys.AccessKeyID); settled {
		return err
	}
	// The call outlives those who gave up waiting: its answer serves the next.
	answered := o.flights.DoChan("whoami "+keys.AccessKeyID, func() (any, error) {
		return nil, o.ask(context.WithoutCancel(ctx), keys)
	})
	select {
	case answer := <-answered:
		return answer.Err
	case <-waiting.Done():
		return waiting.Err()
	}
}

// identified tells whether there is nothing to ask now.
func (o *Operator) identified(accessKeyID string) (err error, settled bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.whoami.accessKeyID == accessKeyID {
		return nil, true
	}
	if o.whoami.failedFor != accessKeyID {
		return nil, false
	}
	return o.whoami.failing.err, o.whoami.failing.holds(o.clock.Now())
}

func (o *Operator) ask(ctx context.Context, keys credentials.Credentials) error {
	if err, settled := o.identified(keys.AccessKeyID); settled {
		return err // somebody else's flight has just landed
	}
	ctx, cancel := context.WithTimeout(ctx, whoamiTimeout)
	defer cancel()
	caller, err := o.sts.GetCallerIdentity(ctx, keys)
	var refused *sts.Error
	if errors.As(err, &refused) && refused.Class == sts.StaleIdentity {
		o.Invalidate(keys.AccessKeyID)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.spend(cmp.Or(caller.Account, o.whoami.caller.Account))
	if err != nil {
		if o.whoami.failedFor != keys.AccessKeyID {
			o.whoami.failedFor = keys.AccessKeyID
			o.whoami.failing.forget() // what failed for other keys says nothing of these
		}
		o.whoami.failing.failed(o.clock.Now(), err)
		return err
	}
	o.whoami.caller, o.whoami.accessKeyID = caller, keys.AccessKeyID
	o.whoami.failing.forget()
	return nil
}
