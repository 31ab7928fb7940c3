// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stscredential

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/credentials"
	"github.com/stscredential/sts-credential-operator/internal/identity"
	"github.com/stscredential/sts-credential-operator/internal/ratelimit"
	"github.com/stscredential/sts-credential-operator/internal/renewal"
	"github.com/stscredential/sts-credential-operator/internal/sts"
)

// renew asks STS for a session and writes it, if this is the time for a call.
func (r *Reconciler) renew(ctx context.Context, p *pass) {
	repair := p.meddled(r.STS.Now())
	if r.held(p, repair) {
		return
	}
	defer r.Metrics.attempted(p)
	session, kept := p.memo.kept(p.sought(), r.STS.Now())
	if !kept {
		if p.wait = p.memo.untilTry(r.Clock.Now()); p.wait > 0 {
			p.holding = fmt.Sprintf("the next call to STS waits: one object makes at most one call each %s, however often it is changed or a renewal is requested", tryEvery)
			return
		}
		session = r.fetch(ctx, p)
	}
	if p.trouble != nil || p.wait > 0 {
		return
	}
	r.write(ctx, p, session)
	if p.trouble != nil || p.wait > 0 {
		return
	}
	r.decide(p)
	p.memo.succeeded(p.record.AccessKeyID, p.decision.RenewAt)
	if repair && p.memo.generation == p.credential.Generation {
		p.memo.repairs.done(p.attempt(), r.Clock.Now())
	}
}

// meddled reports whether the renewal is one that somebody brings about by deleting, editing or putting back the Secret,
// rather than time or a wish: the record is not the one that was written last, and that one is not due.
func (p *pass) meddled(now time.Time) bool {
	if p.memo.written == "" || (!p.memo.writtenDue.IsZero() && !now.Before(p.memo.writtenDue)) {
		return false
	}
	return p.decision.Cause.Repair() || !p.intact || p.record.AccessKeyID != p.memo.written
}

// held reports whether the pass must wait: for the time of the next try after a failure, which is then told again, or
// for the next repair of a Secret that somebody keeps meddling with. Nothing is issued for a namespace that is ending.
func (r *Reconciler) held(p *pass, repair bool) bool {
	now := r.Clock.Now()
	if p.ending {
		p.fail(trouble{reason: v1alpha1.ReasonSecretWriteFailed, retry: conflictRetry, message: fmt.Sprintf(
			"namespace %s is being deleted: nothing is issued for it any more", p.credential.Namespace)})
		return true
	}
	if last := p.memo.lastFailure(p.attempt(), now); last != nil {
		p.fail(*last)
		return true
	}
	if repair {
		if p.wait = p.memo.repairs.until(p.attempt(), now); p.wait > 0 {
			p.holding = r.pacedCorrection(p, "its data or the operator's record", p.wait)
		}
	}
	if life := r.lifeLeft(p); life > 0 { // of an older copy, say
		p.wait = min(p.wait, max(life/4, transientMin))
	}
	return p.wait > 0
}

// fetch asks STS, after a failed write only if the API server would take the Secret.
func (r *Reconciler) fetch(ctx context.Context, p *pass) credentials.Credentials {
	if p.memo.writeFailed {
		if r.rehearse(ctx, p); p.trouble != nil {
			return credentials.Credentials{}
		}
	}
	session, err := r.issue(ctx, p)
	switch {
	case err != nil:
		r.refused(p, err)
	case p.wait == 0:
		r.audit(p, session)
	}
	return session
}

// attempt tells tries apart: a failed one holds back only another like it.
func (p *pass) attempt() string {
	return fmt.Sprint(p.credential.Generation, "/", p.verdict.GrantName, "/", p.request.ImposedPolicy, "/", p.wish())
}

// sought tells sessions apart: one that could not be written answers only what is sought still.
func (p *pass) sought() string { return p.request.Hash() + "/" + p.wish() }

// asking is who asks STS for this credential.
func (r *Reconciler) asking(ctx context.Context, p *pass) (identity.Identity, error) {
	who := p.request.Identity
	switch {
	case who == nil:
		return r.Operator.Identity(ctx)
	case who.AccessKey != nil:
		return r.AccessKeys.Identity(ctx, p.credential.Namespace, *who.AccessKey)
	case r.ServiceAccounts == nil:
		return identity.Identity{}, &identity.UnavailableError{Source: "ServiceAccount " + who.ServiceAccount.Name, Class: sts.Refused,
			NextStep: "the operator may not ask for tokens of ServiceAccounts: a cluster admin switches it on with the flag --service-account-identity and the right to create serviceaccounts/token"}
	}
	return r.ServiceAccounts.Identity(ctx, p.credential.Namespace, *who.ServiceAccount)
}

// issue makes the call, within the budget. An identity that STS does not know is fetched anew, once.
func (r *Reconciler) issue(ctx context.Context, p *pass) (credentials.Credentials, error) {
	session, err := r.ask(ctx, p)
	var failed *sts.Error
	if errors.As(err, &failed) && failed.Class == sts.StaleIdentity {
		return r.ask(ctx, p)
	}
	return session, err
}

// ask makes one call, or says with p.wait when it may be made. Where STS has not said yet who asks, it is asked that
// first, which is a call of its own.
func (r *Reconciler) ask(ctx context.Context, p *pass) (credentials.Credentials, error) {
	asking, err := r.asking(ctx, p)
	if err == nil && asking.Identify != nil {
		err = r.identify(ctx, p, &asking)
	}
	if err != nil || p.wait > 0 || !r.admit(p, asking.Caller.Account) {
		return credentials.Credentials{}, err
	}
	if p.stopping() {
		p.wait = missedRetry // by the process that comes after this one
		return credentials.Credentials{}, nil
	}
	account := asking.Caller.Account
	defer r.Budget.Release(account)
	request := p.request.Request
	request.Policy = cmp.Or(p.request.ImposedPolicy, request.Policy)
	p.caller = asking.Caller.ARN
	session, err := asking.AssumeRole(ctx, request)
	var failed *sts.Error
	if !errors.As(err, &failed) {
		return session, err
	}
	if failed.Class == sts.Throttled {
		r.Budget.Throttled(account, failed.RetryAfter)
	}
	if failed.Class == sts.StaleIdentity {
		asking.Invalidate()
	}
	return credentials.Credentials{}, failed.WithCaller(p.caller).WithOrigin(p.origin())
}

// origin says where what STS was sent came from.
func (p *pass) origin() sts.Origin {
	origin := sts.Origin{DefaultSession: p.credential.Spec.SessionName == ""}
	if p.request.ImposedPolicy != "" {
		origin.Policy = "the policy of StsRoleGrant " + p.verdict.GrantName
	}
	return origin
}

// admit takes a turn in the budget of an account, or sets how long to wait for it. Each call counts as a try.
func (r *Reconciler) admit(p *pass, account string) bool {
	p.wait = r.Budget.Acquire(account, p.claim())
	if p.queued = p.wait > 0; p.queued {
		p.holding = "the call to STS waits for its turn in the budget of the account (--sts-qps), or for the end of STS's throttling"
		return false
	}
	p.memo.tried(r.Clock.Now())
	return true
}

// identify asks STS who asks, within the budget, or sets how long to wait for that. A throttling answer pauses the budget:
// the next call waits for that.
func (r *Reconciler) identify(ctx context.Context, p *pass, asking *identity.Identity) error {
	account := asking.Caller.Account
	if !r.admit(p, account) {
		return nil
	}
	defer r.Budget.Release(account)
	caller, err := asking.Identify(ctx)
	var failed *sts.Error
	if errors.As(err, &failed) && failed.Class == sts.Throttled {
		r.Budget.Throttled(account, failed.RetryAfter)
		return nil
	}
	if err == nil {
		asking.Caller = caller
	}
	return err
}

// claim is what decides whose turn in the budget it is. What a renewal that is due, asked for or wanted by a grant
// replaces works on until it expires; everything else is a first issue. An edited record says nothing.
func (p *pass) claim() ratelimit.Claim {
	claim := ratelimit.Claim{NamespacedName: client.ObjectKeyFromObject(p.credential), First: true}
	if p.intact && !p.decision.RenewAt.IsZero() {
		claim.Expires = p.record.ExpiresAt
	}
	switch p.decision.Cause {
	case renewal.CauseDue, renewal.CauseEarly, renewal.CauseRequested, renewal.CausePolicyChanged, renewal.CauseClockBehind:
		claim.First = claim.Expires.IsZero()
	case renewal.CauseNoRecord, renewal.CauseForeignRecord, renewal.CauseRequestChanged, renewal.CauseLayoutChanged, renewal.CauseEdited:
	}
	return claim
}

// refused notes a failed try and when the next one is due.
func (r *Reconciler) refused(p *pass, err error) {
	reason, class := v1alpha1.ReasonIdentityUnavailable, sts.Transient
	var unavailable *identity.UnavailableError
	var failed *sts.Error
	switch {
	case errors.As(err, &failed):
		reason, class = failed.Reason, failed.Class
	case errors.As(err, &unavailable):
		class = unavailable.Class
	}
	passing := class == sts.Transient || class == sts.Throttled
	r.failed(p, class, trouble{reason: reason, message: err.Error(), passing: passing})
}

// failed notes what is wrong and keeps it for the passes before the next try.
func (r *Reconciler) failed(p *pass, class sts.Class, t trouble) {
	t.retry = p.memo.failed(class, r.lifeLeft(p))
	p.fail(t)
	p.memo.remember(p.trouble, r.Clock.Now())
}

// lifeLeft is how long what the Secret holds goes on working; 0 if it does not.
func (r *Reconciler) lifeLeft(p *pass) time.Duration {
	if !p.decision.Usable {
		return 0
	}
	return p.record.ExpiresAt.Sub(r.STS.Now())
}
