// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stscredential

import (
	"context"

	"github.com/stscredential/sts-credential-operator/internal/apiserver"
	"github.com/stscredential/sts-credential-operator/internal/secret"
)

// syncMetadata brings labels, annotations and owner of a Secret in line with the spec, without a call to STS. It writes to
// the Secret that was read or to none.
func (r *Reconciler) syncMetadata(ctx context.Context, t target, e existing) (existing, hold, error) {
	if e.secret == nil || e.written || e.takenOver || e.isUnmodified() || t.credential.Spec.Suspend || t.terminating {
		return e, hold{}, nil
	}
	want, now := e.fitted(secret.Frame(t.credential)), r.Clock.Now()
	if secret.Patch(e.secret, want) == nil {
		t.state.syncError = nil
		return e, hold{}, nil
	}
	if wait := t.state.syncPace.until(t.backoffKey(), now); wait > 0 {
		return e, hold{wait: wait, reason: pacedCorrection(t, "its labels, annotations or owner", r.STS.Now().Add(wait))}, t.state.syncError
	}
	written, err := r.secrets().put(ctx, e.secret, want, nil)
	if apiserver.IsConflict(err) {
		return e, hold{wait: contendedRetry}, t.state.syncError
	}
	t.state.syncPace.done(t.backoffKey(), now)
	held := hold{wait: t.state.syncPace.until(t.backoffKey(), now)}
	if err != nil {
		t.state.syncError = writeFailed(t, want, err)
		return e, held, t.state.syncError
	}
	synced, err := checkWritten(t, e, written, want, true)
	if err == nil && e.intact && !synced.intact {
		err = changedByAdmission(t, want, "record")
	}
	t.state.syncError = err
	return synced, held, err
}
