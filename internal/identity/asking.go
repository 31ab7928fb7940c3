// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package identity

import (
	"context"

	"github.com/stscredential/sts-credential-operator/internal/credentials"
	"github.com/stscredential/sts-credential-operator/internal/sts"
)

// Identity is an identity that is ready to ask STS. What it asks with is in its
// functions only, so that it may be printed.
type Identity struct {
	// Caller is who asks. Account is the budget's key; ARN, which messages name, may
	// be empty.
	Caller sts.Caller
	// Identify asks STS who asks, which is a call of its own: it needs a turn in the
	// budget of Caller.Account. What it returns takes the place of Caller. It is nil if
	// STS has said so, or if it was asked lately. The error is an *sts.Error that
	// throttles the call, an *UnavailableError, or the context's.
	Identify func(ctx context.Context) (sts.Caller, error)
	// AssumeRole asks for a session. The error is an *sts.Error, an
	// *UnavailableError or the context's.
	AssumeRole func(ctx context.Context, in credentials.Request) (credentials.Credentials, error)
	// Invalidate says that STS called the identity stale (sts.StaleIdentity): the
	// next Identity fetches it anew. It is never nil.
	Invalidate func()
}

// Identity is the operator's own identity, ready to ask. Its Caller has the account of
// earlier keys, or none, and no ARN while STS does not say whose these are. The error is one of Keys'.
func (o *Operator) Identity(ctx context.Context) (Identity, error) {
	keys, err := o.Credentials(ctx)
	if err != nil {
		return Identity{}, err
	}
	_ = o.Identify(ctx) // work goes on without
	caller, ok := o.Caller()
	if !ok {
		caller.ARN = "" // the former keys': their account may still be this one's, for the budget
	}
	return Identity{
		Caller: caller,
		AssumeRole: func(ctx context.Context, in credentials.Request) (credentials.Credentials, error) {
			return o.sts.AssumeRole(ctx, keys, in)
		},
		Invalidate: func() { o.Invalidate(keys.AccessKeyID) },
	}, nil
}
