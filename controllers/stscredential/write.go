// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stscredential

import (
	"context"
	"errors"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/apiserver"
	"github.com/stscredential/sts-credential-operator/internal/credentials"
	"github.com/stscredential/sts-credential-operator/internal/secret"
)

// maxTries is the maximum number of attempts of a write that conflicts with writes of other clients.
const maxTries = 3

// errSecretExists is returned if the create of a first issuance fails because of a Secret that is not in the cache.
var errSecretExists = errors.New("the Secret exists")

// write writes data, record and metadata of the Secret, and returns the resulting Secret. dryRunFirst: a dry run comes first.
func (s secrets) write(ctx context.Context, t target, e existing, issued credentials.Credentials, dryRunFirst bool) (existing, error) {
	if e.adopted() {
		if err := s.addFinalizer(ctx, t.credential, e.secret.Name); err != nil {
			return e, err
		}
	}
	if dryRunFirst {
		if _, err := s.dry().renderAndApply(ctx, t, e, issued); err != nil {
			return e, err
		}
	}
	return s.renderAndApply(ctx, t, e, issued)
}

// tryWrite sends the write of a placeholder as a server-side dry run. After a failed write, STS is called again only when the
// dry run succeeds. The placeholder has the form of real credentials.
func (s secrets) tryWrite(ctx context.Context, t target, e existing) error {
	placeholder := secret.Placeholder()
	placeholder.IssuedAt = s.sts.Now()
	placeholder.ExpiresAt = placeholder.IssuedAt.Add(t.request.Duration)
	_, err := s.dry().renderAndApply(ctx, t, e, placeholder)
	return err
}

func (s secrets) renderAndApply(ctx context.Context, t target, e existing, issued credentials.Credentials) (existing, error) {
	writeOptions := secret.WriteOptions{RenewRequest: t.renewRequest, At: s.clock.Now(), Before: previousRecord(t, e, s.sts.Skew())}
	desired, err := secret.Render(t.credential, t.layout, issued, t.stsRequest(), writeOptions)
	if err != nil {
		return e, newError(v1alpha1.ReasonInvalidSpec, "%v", err)
	}
	return s.apply(ctx, t, e, e.fitted(desired))
}

// previousRecord returns the record of the credentials that pods may have read from the Secret until now. If another client has
// deleted the Secret, the record is restored from the status. skew is by how much STS's clock is ahead of the local clock.
func previousRecord(t target, e existing, skew time.Duration) *secret.Record {
	status := t.credential.Status
	if e.record != nil || status.SecretName != t.credential.SecretName() || status.IssuedAt == nil || status.ExpiresAt == nil {
		return e.record
	}
	return &secret.Record{Record: credentials.Record{WrittenAt: status.IssuedAt.Add(-skew), ExpiresAt: status.ExpiresAt.Time}}
}

// apply writes data, record and metadata of a Secret. On a conflict, it gets the Secret again, and checks that this StsCredential may
// still write to it, and that its credentials are not newer.
func (s secrets) apply(ctx context.Context, t target, e existing, desired *corev1.Secret) (existing, error) {
	base, err := e.secret, apiserver.ErrContended
	for range maxTries {
		var written *corev1.Secret
		if written, err = s.put(ctx, base, desired); err == nil {
			return checkWritten(e, written, desired, s.dryRun)
		}
		if !apiserver.IsConflict(err) {
			break
		}
		if t.firstIssuance && apierrors.IsAlreadyExists(err) {
			return e, errSecretExists
		}
		if base, err = s.getAgain(ctx, desired); err != nil {
			break
		}
		if base != nil && !secret.Owned(base, t.credential) {
			return e, conflictWith(base, t.credential.Name)
		}
		if base != nil && secret.Newer(base, desired) {
			return readExisting(base), nil
		}
		err = apiserver.ErrContended
	}
	return e, writeFailed(desired, err)
}

// getAgain gets a Secret uncached after a conflict; nil if there is none. It fails if the desired Secret is for an adopted one and
// the existing is not, or the other way round.
func (s secrets) getAgain(ctx context.Context, desired *corev1.Secret) (*corev1.Secret, error) {
	found, err := s.getUncached(ctx, client.ObjectKeyFromObject(desired))
	if err == nil && secret.Adopted(desired) != (found != nil && secret.Adopted(found)) {
		err = apiserver.ErrContended
	}
	return stripped(found), err
}

// checkWritten returns the Secret in the response to a write, and an error if admission changed it. After a dry run, it returns
// the Secret as it was before.
func checkWritten(before existing, written, sent *corev1.Secret, dryRun bool) (existing, error) {
	e := before
	if !dryRun {
		e = readExisting(written)
		e.written = true
	}
	if what := secret.Altered(stripped(written), sent); what != "" {
		return e, changedByAdmission(sent, what)
	}
	return e, nil
}

// writeFailed returns the error for a failed write of a Secret.
func writeFailed(desired *corev1.Secret, err error) *reconcileError {
	message, transient := apiserver.Describe(err)
	failure := newError(v1alpha1.ReasonSecretWriteFailed, "failed to write Secret %s: %s", desired.Name, message)
	failure.recoverable = transient
	return failure
}

// changedByAdmission returns the error for a Secret that admission changed.
func changedByAdmission(sent *corev1.Secret, what string) *reconcileError {
	failure := newError(v1alpha1.ReasonSecretWriteFailed,
		"failed to write Secret %s: its %s was changed by admission. Exclude Secrets with the label %s from the mutating webhook or admission policy that changes them",
		sent.Name, what, secret.UIDLabel)
	failure.altered = true
	return failure
}
