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
	"github.com/stscredential/sts-credential-operator/internal/retry"
	"github.com/stscredential/sts-credential-operator/internal/sts"
)

// roleAssumer calls STS as the identity that an StsCredential names.
type roleAssumer struct {
	operator        *identity.Operator
	serviceAccounts *identity.ServiceAccounts // nil if they are disabled
	accessKeys      *identity.AccessKeys
	budget          *ratelimit.Budget
	clock           clock.PassiveClock
	log             logr.Logger
	stopping        func() bool // whether the process is shutting down, so that no new call is made
}

// issue calls STS within the budget, or returns how long the call must wait. If STS rejects the identity's credentials as
// outdated, they are fetched again, once.
func (a roleAssumer) issue(ctx context.Context, t target, e existing, d renewal.Decision, pace *callPace) (credentials.Credentials, error) {
	issued, err := a.assumeRole(ctx, t, e, d, pace)
	var failed *sts.Error
	if errors.As(err, &failed) && failed.Class == sts.StaleIdentity {
		return a.assumeRole(ctx, t, e, d, pace)
	}
	return issued, err
}

// assumeRole makes one call. If the caller is not known, it calls GetCallerIdentity first, which is a call of its own.
func (a roleAssumer) assumeRole(ctx context.Context, t target, e existing, d renewal.Decision, pace *callPace) (credentials.Credentials, error) {
	who, err := a.identityOf(ctx, t)
	if err != nil {
		return credentials.Credentials{}, err
	}
	claim := claimOf(t, e, d)
	caller, err := a.identify(ctx, who, claim, pace)
	if err != nil {
		return credentials.Credentials{}, err
	}
	if err := a.acquire(caller.Account, claim, pace); err != nil {
		return credentials.Credentials{}, err
	}
	defer a.budget.Release(caller.Account)
	if a.stopping() {
		return credentials.Credentials{}, waitFor(retry.WriteConflict, "") // the next leader makes the call
	}
	request := t.request
	request.Policy = cmp.Or(t.imposedPolicy, request.Policy)
	issued, err := who.AssumeRole(ctx, request)
	var failed *sts.Error
	if !errors.As(err, &failed) {
		if err == nil {
			a.audit(t, issued, caller.ARN, d.Cause)
		}
		return issued, err
	}
	if failed.Class == sts.Throttled {
		a.budget.Throttled(caller.Account, failed.RetryAfter)
	}
	if failed.Class == sts.StaleIdentity {
		who.Invalidate()
	}
	return credentials.Credentials{}, failed.WithCaller(caller.ARN).WithOrigin(originOf(t))
}

// identityOf returns the identity that calls STS for this StsCredential.
func (a roleAssumer) identityOf(ctx context.Context, t target) (identity.Identity, error) {
	who := t.credential.Spec.Identity
	switch {
	case who == nil:
		return a.operator.Identity(ctx)
	case who.AccessKey != nil:
		return a.accessKeys.Identity(ctx, t.credential.Namespace, *who.AccessKey)
	case a.serviceAccounts == nil:
		return identity.Identity{}, &identity.UnavailableError{Source: "ServiceAccount " + who.ServiceAccount.Name, Class: sts.Refused,
			NextStep: "the operator may not request tokens of ServiceAccounts. Ask a cluster administrator to set --service-account-identity and to grant the permission to create serviceaccounts/token"}
	}
	return a.serviceAccounts.Identity(ctx, t.credential.Namespace, *who.ServiceAccount)
}

// identify returns the caller. If it is not known, identify calls GetCallerIdentity within the budget, or returns how long that
// call must wait. If STS throttles that call, the budget pauses, and the next call waits.
func (a roleAssumer) identify(ctx context.Context, who identity.Identity, claim ratelimit.Claim, pace *callPace) (sts.Caller, error) {
	if who.Identify == nil {
		return who.Caller, nil
	}
	account := who.Caller.Account
	if err := a.acquire(account, claim, pace); err != nil {
		return who.Caller, err
	}
	defer a.budget.Release(account)
	caller, err := who.Identify(ctx)
	var failed *sts.Error
	switch {
	case err == nil:
		return caller, nil
	case errors.As(err, &failed) && failed.Class == sts.Throttled:
		a.budget.Throttled(account, failed.RetryAfter)
		return who.Caller, nil
	}
	return who.Caller, err
}

// acquire takes a call from the budget of an account, or returns how long to wait for it. Each call counts for the object's pace.
func (a roleAssumer) acquire(account string, claim ratelimit.Claim, pace *callPace) error {
	if wait := a.budget.Acquire(account, claim); wait > 0 {
		queued := waitFor(wait, "the call to STS waits: the call budget of the account (--sts-qps) is used up, or STS throttles the account. "+
			"If it persists, raise --sts-qps within the account's quota")
		queued.queued = true
		return queued
	}
	pace.recordCall(a.clock.Now())
	return nil
}

// claimOf returns the claim for a call, which determines its position in the budget. A renewal that is due, early,
// requested, or caused by a grant's policy or by the clock is ordered by the expiration of the current credentials. Any
// other call counts as a first issuance. The expiration in an edited record is ignored.
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

// originOf returns the source of the parameters of a call, for messages.
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
	a.log.Info("issued",
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
