// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/identity"
	"github.com/stscredential/sts-credential-operator/internal/sts"
)

// renew asks STS for a session and writes it, if this is the time for a call.
func (r *Reconciler) renew(ctx context.Context, p *pass) {
	repair := p.decision.Cause.Repair() && p.memo.issued
	if r.held(p, repair) {
		return
	}
	if p.memo.writeFailed {
		if r.rehearse(ctx, p); p.trouble != nil {
			return
		}
	}
	session, err := r.issue(ctx, p)
	if err != nil {
		r.refused(p, err)
	}
	if p.trouble != nil || p.wait > 0 {
		return
	}
	if r.write(ctx, p, session); p.trouble != nil {
		return
	}
	p.memo.succeeded()
	if repair {
		p.memo.repaired(p.attempt(), r.Clock.Now())
	}
	r.decide(p)
}

// held reports whether the pass must wait: for the time of the next try after a failure, which is then told again, or
// for the next repair of a Secret that somebody keeps deleting or editing.
func (r *Reconciler) held(p *pass, repair bool) bool {
	now := r.Clock.Now()
	if p.trouble = p.memo.lastFailure(p.attempt(), now); p.trouble != nil {
		return true
	}
	if repair {
		p.wait = p.memo.untilRepair(p.attempt(), now)
	}
	return p.wait > 0
}

// attempt tells tries apart: a failed one holds back only another like it.
func (p *pass) attempt() string {
	return fmt.Sprint(p.credential.Generation, "/", p.verdict.GrantName, "/", p.request.ImposedPolicy, "/", p.wish())
}

// asking is who asks STS for this credential.
func (r *Reconciler) asking(ctx context.Context, p *pass) (identity.Asking, error) {
	who := p.request.Identity
	switch {
	case who == nil:
		return r.Operator.Asking(ctx)
	case who.AccessKey != nil:
		return r.AccessKeys.Asking(ctx, p.credential.Namespace, *who.AccessKey)
	case r.ServiceAccounts == nil:
		return identity.Asking{}, &identity.UnavailableError{Source: "ServiceAccount " + who.ServiceAccount.Name, Class: sts.Refused,
			NextStep: "the operator may not ask for tokens of ServiceAccounts: a cluster admin switches it on with the flag --service-account-identity and the right to create serviceaccounts/token"}
	}
	return r.ServiceAccounts.Asking(ctx, p.credential.Namespace, *who.ServiceAccount)
}

// issue makes the call, within the budget. An identity that STS does not know is fetched anew, once.
func (r *Reconciler) issue(ctx context.Context, p *pass) (sts.Session, error) {
	session, err := r.ask(ctx, p)
	var failed *sts.Error
	if errors.As(err, &failed) && failed.Class == sts.StaleIdentity {
		return r.ask(ctx, p)
	}
	return session, err
}

// ask makes one call, or says with p.wait when it may be made.
func (r *Reconciler) ask(ctx context.Context, p *pass) (sts.Session, error) {
	asking, err := r.asking(ctx, p)
	if err != nil {
		return sts.Session{}, err
	}
	account := asking.Caller.Account
	if p.wait = r.Budget.Take(account, p.credential.Namespace+"/"+p.credential.Name); p.wait > 0 {
		return sts.Session{}, nil
	}
	defer r.Budget.Done(account)
	request := p.request.AssumeRoleInput
	request.Policy = cmp.Or(p.request.ImposedPolicy, request.Policy)
	p.caller = asking.Caller.ARN
	session, err := asking.AssumeRole(ctx, request)
	var failed *sts.Error
	if !errors.As(err, &failed) {
		return session, err
	}
	switch failed.Class {
	case sts.Throttled:
		r.Budget.Throttled(account, failed.RetryAfter)
	case sts.StaleIdentity:
		asking.Invalidate()
	}
	return sts.Session{}, failed.WithCaller(p.caller)
}

// refused notes a failed try and when the next one is due.
func (r *Reconciler) refused(p *pass, err error) {
	reason, class, after := v1alpha1.ReasonIdentityUnavailable, sts.Transient, time.Duration(0)
	var unavailable *identity.UnavailableError
	var failed *sts.Error
	switch {
	case errors.As(err, &failed):
		reason, class, after = failed.Reason, failed.Class, failed.RetryAfter
	case errors.As(err, &unavailable):
		class = unavailable.Class
	}
	retry := p.memo.failed(class, r.lifeLeft(p))
	if retry > 0 {
		retry = max(retry, after)
	}
	p.fail(reason, retry, "%v", err)
	p.memo.remember(p.trouble, r.Clock.Now())
}

// lifeLeft is how long what the Secret holds goes on working; 0 if it does not.
func (r *Reconciler) lifeLeft(p *pass) time.Duration {
	if !p.decision.Usable {
		return 0
	}
	return p.record.ExpiresAt.Sub(r.STS.Now())
}
