// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stscredential

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/internal/credentials"
	"github.com/stscredential/sts-credential-operator/internal/identity"
	"github.com/stscredential/sts-credential-operator/internal/ratelimit"
	"github.com/stscredential/sts-credential-operator/internal/renewal"
	"github.com/stscredential/sts-credential-operator/internal/sts"
)

// roleAssumer calls STS as the identity that an StsCredential names. Its fields are the Reconciler's.
type roleAssumer struct {
	Operator        *identity.Operator
	ServiceAccounts *identity.ServiceAccounts
	AccessKeys      *identity.AccessKeys
	Budget          *ratelimit.Budget
	Clock           clock.PassiveClock
	Audit           logr.Logger
}

// issue calls STS within the budget, or says how long the call must wait. An identity that STS does not know is fetched anew,
// once.
func (a roleAssumer) issue(ctx context.Context, t target, e existing, d renewal.Decision) (credentials.Credentials, hold, error) {
	issued, held, err := a.assumeRole(ctx, t, e, d)
	var failed *sts.Error
	if errors.As(err, &failed) && failed.Class == sts.StaleIdentity {
		return a.assumeRole(ctx, t, e, d)
	}
	return issued, held, err
}

// assumeRole makes one call. Where STS has not said yet who calls, it is asked that first, which is a call of its own.
func (a roleAssumer) assumeRole(ctx context.Context, t target, e existing, d renewal.Decision) (credentials.Credentials, hold, error) {
	who, err := a.identityOf(ctx, t)
	if err != nil {
		return credentials.Credentials{}, hold{}, err
	}
	caller, held, err := a.identify(ctx, t, claimOf(t, e, d), who)
	if err != nil || held.wait > 0 {
		return credentials.Credentials{}, held, err
	}
	if held := a.acquire(t, caller.Account, claimOf(t, e, d)); held.wait > 0 {
		return credentials.Credentials{}, held, nil
	}
	defer a.Budget.Release(caller.Account)
	if t.stopping() {
		return credentials.Credentials{}, hold{wait: contendedRetry}, nil // by the process that comes after this one
	}
	request := t.request
	request.Policy = cmp.Or(t.imposedPolicy, request.Policy)
	issued, err := who.AssumeRole(ctx, request)
	var failed *sts.Error
	if !errors.As(err, &failed) {
		if err == nil {
			a.audit(t, issued, caller.ARN, d.Cause)
		}
		return issued, hold{}, err
	}
	if failed.Class == sts.Throttled {
		a.Budget.Throttled(caller.Account, failed.RetryAfter)
	}
	if failed.Class == sts.StaleIdentity {
		who.Invalidate()
	}
	return credentials.Credentials{}, hold{}, failed.WithCaller(caller.ARN).WithOrigin(originOf(t))
}

// identityOf returns who calls STS for this StsCredential.
func (a roleAssumer) identityOf(ctx context.Context, t target) (identity.Identity, error) {
	who := t.credential.Spec.Identity
	switch {
	case who == nil:
		return a.Operator.Identity(ctx)
	case who.AccessKey != nil:
		return a.AccessKeys.Identity(ctx, t.credential.Namespace, *who.AccessKey)
	case a.ServiceAccounts == nil:
		return identity.Identity{}, &identity.UnavailableError{Source: "ServiceAccount " + who.ServiceAccount.Name, Class: sts.Refused,
			NextStep: "the operator may not ask for tokens of ServiceAccounts: a cluster admin switches it on with the flag --service-account-identity and the right to create serviceaccounts/token"}
	}
	return a.ServiceAccounts.Identity(ctx, t.credential.Namespace, *who.ServiceAccount)
}

// identify returns the caller. It asks STS for it where that is not known, within the budget, or says how long to wait for
// that. A throttling answer pauses the budget: the next call waits for that.
func (a roleAssumer) identify(ctx context.Context, t target, claim ratelimit.Claim, who identity.Identity) (sts.Caller, hold, error) {
	if who.Identify == nil {
		return who.Caller, hold{}, nil
	}
	account := who.Caller.Account
	if held := a.acquire(t, account, claim); held.wait > 0 {
		return who.Caller, held, nil
	}
	defer a.Budget.Release(account)
	caller, err := who.Identify(ctx)
	var failed *sts.Error
	switch {
	case err == nil:
		return caller, hold{}, nil
	case errors.As(err, &failed) && failed.Class == sts.Throttled:
		a.Budget.Throttled(account, failed.RetryAfter)
		return who.Caller, hold{}, nil
	}
	return who.Caller, hold{}, err
}

// acquire takes a call from the budget of an account, or says how long to wait for it. Each call counts as a try.
func (a roleAssumer) acquire(t target, account string, claim ratelimit.Claim) hold {
	if wait := a.Budget.Acquire(account, claim); wait > 0 {
		return hold{wait: wait, queued: true, reason: "the call to STS waits for its turn in the budget of the account (--sts-qps), or for the end of STS's throttling"}
	}
	t.state.tried(a.Clock.Now())
	return hold{}
}

// claimOf is what decides whose turn in the budget it is. What a renewal that is due, requested or wanted by a grant replaces
// works on until it expires; everything else is a first issuance. An edited record says nothing.
func claimOf(t target, e existing, d renewal.Decision) ratelimit.Claim {
	claim := ratelimit.Claim{NamespacedName: client.ObjectKeyFromObject(t.credential), First: true}
	if e.intact && !d.RenewAt.IsZero() {
		claim.Expires = e.record.ExpiresAt
	}
	switch d.Cause {
	case renewal.CauseDue, renewal.CauseEarly, renewal.CauseRequested, renewal.CausePolicyChanged, renewal.CauseClockBehind:
		claim.First = claim.Expires.IsZero()
	case renewal.CauseNoRecord, renewal.CauseForeignRecord, renewal.CauseRequestChanged, renewal.CauseLayoutChanged, renewal.CauseEdited:
	}
	return claim
}

// originOf says where the parameters of a call came from, for messages.
func originOf(t target) sts.Origin {
	origin := sts.Origin{DefaultSession: t.credential.Spec.SessionName == ""}
	if t.imposedPolicy != "" {
		origin.Policy = "the policy of StsRoleGrant " + t.grantName
	}
	return origin
}

// audit writes one line for each issuance, whether it is written to the Secret or not. Its keys are stable: they join
// ActionTrail's events to the object.
func (a roleAssumer) audit(t target, issued credentials.Credentials, caller string, cause renewal.Cause) {
	a.Audit.Info("issued",
		"namespace", t.credential.Namespace,
		"name", t.credential.Name,
		"role", t.request.RoleARN,
		"session", t.request.SessionName,
		"accessKeyID", credentials.ShownAccessKeyID(issued.AccessKeyID),
		"requestID", issued.RequestID,
		"expiresAt", issued.ExpiresAt.Format(time.RFC3339),
		"caller", caller,
		"grant", t.grantName,
		"cause", string(cause),
	)
}
