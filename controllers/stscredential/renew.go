// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stscredential

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/identity"
	"github.com/stscredential/sts-credential-operator/internal/renewal"
	"github.com/stscredential/sts-credential-operator/internal/sts"
)

// hold is how long something must wait though nothing is wrong, and why.
type hold struct {
	wait   time.Duration // 0: it need not wait
	reason string        // for the condition Ready; empty if there is nothing to say
	queued bool          // for its turn in the call budget
}

// renew issues credentials and writes them to the Secret, if the decision is to renew and this is the time for a call. It
// returns the Secret as it is then.
func (r *Reconciler) renew(ctx context.Context, t target, e existing, d renewal.Decision, blocked *reconcileError) (existing, hold, error) {
	if !d.Renew() || blocked != nil {
		t.state.observed(e, d, blocked)
		_, _ = t.state.pending(t.requestKey(), r.STS.Now()) // drops what is too old to be written
		if d.Renew() {
			r.Metrics.attempted(blocked)
		}
		return e, hold{}, nil
	}
	drift := t.drifted(e, d, r.STS.Now())
	if held, err := r.holdBack(t, e, d, drift); err != nil || held.wait > 0 {
		return e, held, err
	}
	written, held, err := r.issueAndWrite(ctx, t, e, d)
	if held.wait > 0 || errors.Is(err, errSecretExists) {
		return e, held, err
	}
	r.Metrics.attempted(err)
	if err != nil {
		return written, hold{}, err
	}
	t.state.succeeded(written.record.AccessKeyID, r.decide(t, written).RenewAt)
	if drift && t.state.generation == t.credential.Generation {
		t.state.driftPace.done(t.backoffKey(), r.Clock.Now())
	}
	return written, hold{}, nil
}

// drifted reports whether the renewal is due to another client, which has deleted, edited or put back the Secret, rather than
// to time or a renew request: the record is not the one that was written last, and that one is not due.
func (t target) drifted(e existing, d renewal.Decision, now time.Time) bool {
	s := t.state
	if s.written == "" || (!s.writtenDue.IsZero() && !now.Before(s.writtenDue)) {
		return false
	}
	return d.Cause.Repair() || !e.intact || e.record.AccessKeyID != s.written
}

// holdBack says whether the reconcile must wait: for the time of the next try after a failure, which is then returned again,
// or for the next correction of a Secret that another client keeps changing. Nothing is issued in a terminating namespace.
func (r *Reconciler) holdBack(t target, e existing, d renewal.Decision, drift bool) (hold, error) {
	now := r.Clock.Now()
	if t.terminating {
		return hold{}, newError(v1alpha1.ReasonSecretWriteFailed, "namespace %s is being deleted: nothing is issued for it any more", t.credential.Namespace).retry(conflictRetry)
	}
	if last := t.state.lastFailure(t.backoffKey(), now); last != nil {
		return hold{}, last
	}
	if !drift {
		return hold{}, nil
	}
	wait := t.state.driftPace.until(t.backoffKey(), now)
	if wait == 0 {
		return hold{}, nil
	}
	held := hold{wait: wait, reason: pacedCorrection(t, "its data or the operator's record", r.STS.Now().Add(wait))}
	if life := lifeLeft(e, d, r.STS.Now()); life > 0 { // of an older copy, say
		held.wait = min(wait, max(life/4, transientMin))
	}
	return held, nil
}

// issueAndWrite writes credentials to the Secret: pending ones that an earlier reconcile could not write, or new ones.
func (r *Reconciler) issueAndWrite(ctx context.Context, t target, e existing, d renewal.Decision) (existing, hold, error) {
	issued, pending := t.state.pending(t.requestKey(), r.STS.Now())
	if !pending {
		if wait := t.state.untilTry(r.Clock.Now()); wait > 0 {
			return e, hold{wait: wait, reason: fmt.Sprintf("the next call to STS waits: one object makes at most one call each %s, however often it is changed or a renewal is requested", tryEvery)}, nil
		}
		if t.state.writeFailed {
			if err := r.secrets().dryRun(ctx, t, e); err != nil {
				return e, hold{}, r.failed(t, e, d, sts.Transient, err)
			}
		}
		calls := roleAssumer{r.Operator, r.ServiceAccounts, r.AccessKeys, r.Budget, r.Clock, r.Audit}
		var held hold
		var err error
		if issued, held, err = calls.issue(ctx, t, e, d); held.wait > 0 || err != nil {
			return e, held, r.callFailed(t, e, d, err)
		}
	}
	written, err := r.write(ctx, t, e, issued)
	if err != nil {
		t.state.keep(t.requestKey(), issued)
		return written, hold{}, r.failed(t, written, r.decide(t, written), sts.Transient, err)
	}
	return written, hold{}, nil
}

// callFailed turns the error of a call to STS into a reconcile error; nil if there is none.
func (r *Reconciler) callFailed(t target, e existing, d renewal.Decision, err error) error {
	if err == nil {
		return nil
	}
	reason, class := v1alpha1.ReasonIdentityUnavailable, sts.Transient
	var unavailable *identity.UnavailableError
	var failed *sts.Error
	switch {
	case errors.As(err, &failed):
		reason, class = failed.Reason, failed.Class
	case errors.As(err, &unavailable):
		class = unavailable.Class
	}
	failure := newError(reason, "%s", err.Error())
	failure.recoverable = class == sts.Transient || class == sts.Throttled
	return r.failed(t, e, d, class, failure)
}

// failed counts a failed try, and keeps its error for the reconciles before the next one. Errors that are no tries are
// returned as they are: a conflict waits for its own time, and errors of the API server end the reconcile.
func (r *Reconciler) failed(t target, e existing, d renewal.Decision, class sts.Class, err error) error {
	var failure *reconcileError
	if !errors.As(err, &failure) || failure.reason == v1alpha1.ReasonSecretConflict {
		return err
	}
	failure.retryAfter = t.state.failed(class, lifeLeft(e, d, r.STS.Now()))
	t.state.remember(failure, r.Clock.Now())
	return failure
}
