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

// maxTries bounds how often a write is repeated when another client wrote first.
const maxTries = 3

// errSecretExists is returned where the create of a first issuance meets a Secret that the cache does not show.
var errSecretExists = errors.New("the Secret exists")

// write writes credentials to the Secret, whole, and returns the Secret as it is then. dryRunFirst: a dry run comes first.
func (s secrets) write(ctx context.Context, f finalizers, t target, e existing, issued credentials.Credentials, dryRunFirst bool) (existing, error) {
	if e.adopted() {
		if err := f.add(ctx, t.credential, e.secret.Name); err != nil {
			return e, err
		}
	}
	if dryRunFirst {
		if _, err := s.renderAndApply(ctx, t, e, issued, client.DryRunAll); err != nil {
			return e, err
		}
	}
	return s.renderAndApply(ctx, t, e, issued)
}

// dryRun sends the write of a placeholder as a server-side dry run. After a failed write, STS is called again only when the
// dry run succeeds. The placeholder has the form of real credentials.
func (s secrets) dryRun(ctx context.Context, t target, e existing) error {
	placeholder := secret.Placeholder()
	placeholder.IssuedAt = s.sts.Now()
	placeholder.ExpiresAt = placeholder.IssuedAt.Add(t.request.Duration)
	_, err := s.renderAndApply(ctx, t, e, placeholder, client.DryRunAll)
	return err
}

func (s secrets) renderAndApply(ctx context.Context, t target, e existing, issued credentials.Credentials, options ...writeOption) (existing, error) {
	writeOptions := secret.WriteOptions{RenewRequest: t.renewRequest, At: s.clock.Now(), Before: previousRecord(t, e, s.sts.Skew())}
	desired, err := secret.Render(t.credential, t.layout, issued, t.stsRequest(), writeOptions)
	if err != nil {
		return e, newError(v1alpha1.ReasonInvalidSpec, "%v", err)
	}
	return s.apply(ctx, t, e, e.fitted(desired), options...)
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

// apply writes a whole Secret. Where another client wrote since it was read, it is read again: the Secret must still be this
// StsCredential's, and what it holds must not be newer.
func (s secrets) apply(ctx context.Context, t target, e existing, desired *corev1.Secret, options ...writeOption) (existing, error) {
	base, err := e.secret, apiserver.ErrContended
	for range maxTries {
		var written *corev1.Secret
		if written, err = s.put(ctx, base, desired, options); err == nil {
			return checkWritten(e, written, desired, len(options) == 0)
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

// getAgain reads uncached the Secret that a write has met; nil if there is none any more. It fails where the desired Secret
// does not fit what is there now.
func (s secrets) getAgain(ctx context.Context, desired *corev1.Secret) (*corev1.Secret, error) {
	found, err := s.getUncached(ctx, client.ObjectKeyFromObject(desired))
	if err == nil && secret.Adopted(desired) != (found != nil && secret.Adopted(found)) {
		err = apiserver.ErrContended
	}
	return stripped(found), err
}

// checkWritten returns the Secret that came back from a write, or that would have been written, and an error where admission
// has made something else of what was sent.
func checkWritten(before existing, written, sent *corev1.Secret, forReal bool) (existing, error) {
	e := before
	if forReal {
		e = readExisting(written)
		e.written = true
	}
	if what := secret.Altered(stripped(written), sent); what != "" {
		return e, changedByAdmission(sent, what)
	}
	return e, nil
}

// writeFailed returns the error for a Secret that the API server did not take.
func writeFailed(desired *corev1.Secret, err error) *reconcileError {
	message, transient := apiserver.Describe(err)
	failure := newError(v1alpha1.ReasonSecretWriteFailed, "failed to write Secret %s: %s", desired.Name, message)
	failure.recoverable = transient
	return failure
}

// changedByAdmission returns the error for a Secret of which the API server made something else.
func changedByAdmission(sent *corev1.Secret, what string) *reconcileError {
	failure := newError(v1alpha1.ReasonSecretWriteFailed,
		"failed to write Secret %s: its %s was changed by admission. Exclude Secrets with the label %s from the mutating webhook or admission policy that changes them",
		sent.Name, what, secret.UIDLabel)
	failure.altered = true
	return failure
}
