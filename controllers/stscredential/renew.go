// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stscredential

import (
	"context"
	"errors"
	"fmt"

	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/credentials"
	"github.com/stscredential/sts-credential-operator/internal/identity"
	"github.com/stscredential/sts-credential-operator/internal/metrics"
	"github.com/stscredential/sts-credential-operator/internal/renewal"
	"github.com/stscredential/sts-credential-operator/internal/retry"
	"github.com/stscredential/sts-credential-operator/internal/sts"
)

// renewer issues credentials and writes them to the Secret.
type renewer struct {
	decider
	calls   roleAssumer
	secrets secrets
	clock   clock.PassiveClock
	metrics *metrics.Metrics
}

// renew issues credentials and writes them to the Secret, if the decision is to renew and this is the time for a call. It
// returns the resulting Secret. The claim in the budget is canceled unless the renewal waits for the budget.
func (r renewer) renew(ctx context.Context, t target, e existing, d renewal.Decision, blocked *reconcileError, state *renewState) (existing, error) {
	renewed, err := r.renewIfDue(ctx, t, e, d, blocked, state)
	if waiting, fatal := first(err); fatal == nil && (waiting == nil || !waiting.queued) {
		r.calls.budget.Cancel(client.ObjectKeyFromObject(t.credential))
	}
	return renewed, err
}

func (r renewer) renewIfDue(ctx context.Context, t target, e existing, d renewal.Decision, blocked *reconcileError, state *renewState) (existing, error) {
	state.pending.dropUnless(t.requestKey(), r.sts.Now())
	if !d.Renew() || blocked != nil {
		if blocked == nil || blocked.reason != v1alpha1.ReasonSecretConflict { // pending credentials are kept until the conflict is resolved
			state.pending = pending{}
		}
		state.drift.adopt(e, d)
		if d.Renew() {
			r.count(blocked)
		}
		return e, nil
	}
	state.calls.resetFor(t.backoffKey())
	drifted := state.drift.explains(e, d, r.sts.Now())
	if err := r.holdBack(t, e, d, drifted, state); err != nil {
		return e, err
	}
	written, err := r.issueAndWrite(ctx, t, e, d, state)
	r.count(err)
	if err != nil {
		return written, err
	}
	state.calls.succeeded()
	state.pending, state.refused, state.altered = pending{}, false, false
	state.drift.recordWrite(written.record.AccessKeyID, r.decide(t, written).RenewAt)
	if drifted && !t.specChanged {
		state.drift.pace.done(t.backoffKey(), r.clock.Now())
	}
	return written, nil
}

// holdBack returns an error if the renewal must wait: the last failure until the next attempt is due, or a wait until the next
// correction of a Secret that another client keeps changing. Nothing is issued in a terminating namespace.
func (r renewer) holdBack(t target, e existing, d renewal.Decision, drifted bool, state *renewState) error {
	now := r.clock.Now()
	if t.terminating {
		return newError(v1alpha1.ReasonSecretWriteFailed, "no credentials are issued: namespace %s is being deleted. Use another namespace", t.credential.Namespace).retry(retry.Blocked)
	}
	if last := state.calls.lastFailure(now); last != nil {
		return last
	}
	wait := state.drift.pace.until(t.backoffKey(), now)
	if !drifted || wait == 0 {
		return nil
	}
	why := pacedCorrection(t.credential.SecretName(), "its data or the operator's record", r.sts.Now().Add(wait))
	if life := lifeLeft(e, d, r.sts.Now()); life > 0 { // for example, an earlier version of the Secret was restored
		wait = min(wait, max(life/4, transientMin))
	}
	return waitFor(wait, why)
}

// issueAndWrite writes credentials to the Secret: those that an earlier reconcile could not write, or new ones.
func (r renewer) issueAndWrite(ctx context.Context, t target, e existing, d renewal.Decision, state *renewState) (existing, error) {
	if state.pending.issued == nil {
		issued, err := r.issue(ctx, t, e, d, state)
		if err != nil {
			return e, err
		}
		state.pending = pending{&issued, t.requestKey()}
	}
	written, err := r.secrets.write(ctx, t, e, *state.pending.issued, state.altered)
	if err != nil {
		return written, r.failed(written, r.decide(t, written), sts.Transient, err, state)
	}
	return written, nil
}

// issue calls STS, if the object may make a call now and the API server would accept the Secret.
func (r renewer) issue(ctx context.Context, t target, e existing, d renewal.Decision, state *renewState) (credentials.Credentials, error) {
	if wait := state.calls.untilCall(r.clock.Now()); wait > 0 {
		return credentials.Credentials{}, waitFor(wait, fmt.Sprintf(
			"the call to STS waits: this StsCredential made %d calls in a short time, and may make one every %s now. Change the spec and request renewals less often", callBurst, callEvery))
	}
	if state.refused {
		if err := r.secrets.tryWrite(ctx, t, e); err != nil {
			return credentials.Credentials{}, r.failed(e, d, sts.Transient, err, state)
		}
	}
	issued, err := r.calls.issue(ctx, t, e, d, &state.calls)
	if err != nil {
		return issued, r.callFailed(e, d, err, state)
	}
	return issued, nil
}

// callFailed turns the error of a call to STS into a reconcile error.
func (r renewer) callFailed(e existing, d renewal.Decision, err error, state *renewState) error {
	reason, class := v1alpha1.ReasonIdentityUnavailable, sts.Transient
	var waiting *reconcileError
	var unavailable *identity.UnavailableError
	var failed *sts.Error
	switch {
	case errors.As(err, &waiting):
		return err
	case errors.As(err, &failed):
		reason, class = failed.Reason, failed.Class
	case errors.As(err, &unavailable):
		class = unavailable.Class
	}
	failure := newError(reason, "%s", err.Error())
	failure.recoverable = class == sts.Transient || class == sts.Throttled
	return r.failed(e, d, class, failure, state)
}

// failed counts a failed attempt, and keeps its error for the reconciles before the next attempt. Two kinds of errors are
// returned unchanged: a SecretConflict, which has its own retry interval, and any error that is not a reconcileError.
func (r renewer) failed(e existing, d renewal.Decision, class sts.Class, err error, state *renewState) error {
	var failure *reconcileError
	if !errors.As(err, &failure) || failure.reason == v1alpha1.ReasonSecretConflict {
		return err
	}
	state.recordRefusal(failure)
	return state.calls.failed(failure, class, lifeLeft(e, d, r.sts.Now()), r.clock.Now())
}

// count counts an attempt to renew by its error; nil is success. A wait is no attempt.
func (r renewer) count(err error) {
	result := v1alpha1.ReasonIssued
	switch failed, fatal := first(err); {
	case fatal != nil, failed != nil && failed.waiting: // it is tried again
		return
	case failed != nil:
		result = failed.reason
	}
	r.metrics.Attempted(result)
}
