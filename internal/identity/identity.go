// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package identity provides the identities that call STS: the operator's own, ServiceAccounts, and AccessKeys in Secrets.
package identity

import (
	"context"

	"github.com/stscredential/sts-credential-operator/internal/credentials"
	"github.com/stscredential/sts-credential-operator/internal/sts"
)

// STSClient makes signed calls to STS; *sts.Client does.
type STSClient interface {
	GetCallerIdentity(ctx context.Context, signer credentials.Credentials) (sts.Caller, error)
	AssumeRole(ctx context.Context, signer credentials.Credentials, in credentials.Request) (credentials.Credentials, error)
}

// Identity is an identity that can call STS. Only its functions hold credentials, so that it can be printed.
type Identity struct {
	// Caller is the identity as STS names it. Account is the key of the call budget; ARN, which messages show, may be empty.
	Caller sts.Caller
	// Identify calls GetCallerIdentity and returns what replaces Caller. The call counts in the budget of Caller.Account. It
	// is nil where the result of an earlier call is known. The error is an *sts.Error that throttles the call, an
	// *UnavailableError, or the context's.
	Identify func(ctx context.Context) (sts.Caller, error)
	// AssumeRole requests temporary credentials. The error is an *sts.Error, an *UnavailableError or the context's.
	AssumeRole func(ctx context.Context, in credentials.Request) (credentials.Credentials, error)
	// Invalidate reports that STS called the identity stale (sts.StaleIdentity): the next Identity is fetched again. It is
	// never nil.
	Invalidate func()
}
