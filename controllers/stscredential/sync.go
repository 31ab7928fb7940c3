// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stscredential

import (
	"context"

	"github.com/stscredential/sts-credential-operator/internal/apiserver"
	"github.com/stscredential/sts-credential-operator/internal/retry"
	"github.com/stscredential/sts-credential-operator/internal/secret"
)

// syncState is what is kept of the corrections of a Secret's metadata.
type syncState struct {
	pace   pace
	failed *reconcileError // the last one; nil if it succeeded
}

// syncMetadata corrects labels, annotations and owner of a Secret without a call to STS. It writes to the Secret that was read
// or to none.
func (s secrets) syncMetadata(ctx context.Context, t target, e existing, state *syncState) (existing, error) {
	if e.secret == nil || e.written || e.takenOver || e.isUnmodified() || t.credential.Spec.Suspend || t.terminating {
		return e, nil
	}
	desired, now, key := e.fitted(secret.Metadata(t.credential)), s.clock.Now(), t.backoffKey()
	if secret.Patch(e.secret, desired) == nil {
		state.failed = nil
		return e, nil
	}
	if wait := state.pace.until(key, now); wait > 0 {
		return e, state.again(waitFor(wait, pacedCorrection(t.credential.SecretName(), "its labels, annotations or owner", s.sts.Now().Add(wait))))
	}
	written, err := s.put(ctx, e.secret, desired)
	if apiserver.IsConflict(err) {
		return e, state.again(waitFor(retry.WriteConflict, ""))
	}
	state.pace.done(key, now)
	synced := e
	if err != nil {
		err = writeFailed(desired, err)
	} else if synced, err = checkWritten(e, written, desired, false); err == nil && e.intact && !synced.intact {
		err = changedByAdmission(desired, "record")
	}
	if state.failed, _ = first(err); state.failed == nil {
		return synced, nil
	}
	return synced, state.failed.retry(state.pace.until(key, now))
}

// again returns the error of the last correction, with the delay of wait; it returns wait itself if that correction
// succeeded.
func (s *syncState) again(wait *reconcileError) error {
	if s.failed == nil {
		return wait
	}
	return s.failed.retry(wait.retryAfter)
}
