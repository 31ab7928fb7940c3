// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
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
	return fmt.Sprint(p.credential.Generation, "/", p.verdict.GrantName, "/", p.imposed, "/", p.wish())
}

// issue makes the call, within the budget. An identity that STS does not know is fetched anew, once.
func (r *Reconciler) issue(ctx context.Context, p *pass) (sts.Session, error) {
	var refused string
	for {
		keys, err := r.Identity.Keys(ctx)
		if err != nil {
			return sts.Session{}, err
		}
		_ = r.Identity.Identify(ctx) // work goes on without
		caller, _ := r.Identity.Caller()
		if p.wait = r.Budget.Take(caller.Account, p.credential.Namespace+"/"+p.credential.Name); p.wait > 0 {
			return sts.Session{}, nil
		}
		request := p.input
		if p.imposed != "" {
			request.Policy = p.imposed
		}
		session, err := r.STS.AssumeRole(ctx, keys, request)
		var failed *sts.Error
		if !errors.As(err, &failed) {
			return session, err
		}
		if failed.Class == sts.Throttled {
			r.Budget.Throttled(caller.Account, failed.RetryAfter)
		}
		if failed.Class != sts.StaleIdentity || refused != "" {
			return sts.Session{}, failed.WithCaller(caller.ARN)
		}
		refused = keys.AccessKeyID
		r.Identity.Invalidate(refused)
	}
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
