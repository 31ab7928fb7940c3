// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stscredential

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/apiserver"
	"github.com/stscredential/sts-credential-operator/internal/credentials"
	"github.com/stscredential/sts-credential-operator/internal/secret"
	"github.com/stscredential/sts-credential-operator/internal/sts"
)

// write puts a session into the Secret, whole. If the API server does not take it, the session is kept for another try.
func (r *Reconciler) write(ctx context.Context, p *pass, session credentials.Credentials) {
	first := p.firstIssuance()
	failure := r.bind(ctx, p)
	if failure == nil && p.memo.altered { // what admission would change again is not written again
		failure = r.renderAndApply(ctx, p, session, client.DryRunAll)
	}
	if failure == nil {
		failure = r.renderAndApply(ctx, p, session)
	}
	if failure == nil {
		return
	}
	p.memo.keep(p.sought(), session)
	if first && p.memo.secretInTheWay {
		p.wait = time.Millisecond
		return
	}
	if failure.reason == v1alpha1.ReasonSecretConflict {
		p.fail(*failure)
		return
	}
	r.failed(p, sts.Transient, *failure)
}

// rehearse writes a stand-in without effect: after a failed write, STS is not asked before the API server would take the
// Secret. The stand-in looks like what STS issues.
func (r *Reconciler) rehearse(ctx context.Context, p *pass) {
	standIn := secret.StandIn()
	standIn.IssuedAt = r.STS.Now()
	standIn.ExpiresAt = standIn.IssuedAt.Add(p.request.Duration)
	if failure := r.renderAndApply(ctx, p, standIn, client.DryRunAll); failure != nil {
		r.failed(p, sts.Transient, *failure)
	}
}

// renderAndApply writes a session, or says why it could not.
func (r *Reconciler) renderAndApply(ctx context.Context, p *pass, session credentials.Credentials, options ...writeOption) *trouble {
	occasion := secret.Occasion{RenewRequest: p.wish(), At: r.Clock.Now(), Before: r.before(p)}
	want, err := secret.Render(p.credential, p.layout, session, p.request, occasion)
	if err != nil {
		return &trouble{reason: v1alpha1.ReasonInvalidSpec, message: err.Error()}
	}
	return r.apply(ctx, p, p.shaped(want), options...)
}

// before is what pods may have read from the Secret until now. If somebody has deleted it, the status knows.
func (r *Reconciler) before(p *pass) *secret.Record {
	told := p.credential.Status
	if p.record != nil || told.SecretName != p.credential.SecretName() || told.IssuedAt == nil || told.ExpiresAt == nil {
		return p.record
	}
	return &secret.Record{WrittenAt: r.local(told.IssuedAt.Time), ExpiresAt: told.ExpiresAt.Time}
}

// maxTries bounds how often a write is repeated when somebody else wrote first.
const maxTries = 3

// apply writes a whole Secret, or says why it could not. Where somebody wrote since it was seen, it looks again and
// takes care that the Secret still is ours, and that what it holds is not newer.
func (r *Reconciler) apply(ctx context.Context, p *pass, want *corev1.Secret, options ...writeOption) *trouble {
	seen, err := p.seen, apiserver.ErrContended
	for range maxTries {
		var written *corev1.Secret
		if written, err = r.put(ctx, seen, want, options); err == nil {
			return r.stored(p, written, want, len(options) == 0)
		}
		if !apiserver.IsConflict(err) {
			break
		}
		if p.firstIssuance() && apierrors.IsAlreadyExists(err) { // what stands there decides what follows, so it is read now, see Reconcile
			p.memo.secretInTheWay = true
			return &trouble{reason: v1alpha1.ReasonSecretConflict, message: fmt.Sprintf("Secret %s exists", want.Name)}
		}
		if seen, err = r.lookAgain(ctx, want); err != nil {
			break
		}
		if seen != nil && !secret.Owned(seen, p.credential) {
			return p.conflict(seen)
		}
		if seen != nil && secret.Newer(seen, want) {
			p.saw(seen)
			return nil
		}
		err = apiserver.ErrContended
	}
	return r.unwritten(p, want, err)
}

// unwritten is that the API server did not take a Secret.
func (*Reconciler) unwritten(p *pass, want *corev1.Secret, err error) *trouble {
	p.memo.writeFailed = true
	message, passing := apiserver.Describe(err)
	return &trouble{reason: v1alpha1.ReasonSecretWriteFailed, message: fmt.Sprintf("Secret %s cannot be written: %s", want.Name, message), passing: passing}
}

// stored takes in a Secret that was written for real, and says whether it, or one that would have been written, is not what
// was sent.
func (r *Reconciler) stored(p *pass, written, sent *corev1.Secret, forReal bool) *trouble {
	written = stripped(written)
	if forReal {
		p.saw(written)
		version := written.ResourceVersion // alone: the Secret itself is not kept
		p.wrote = true
		p.memo.secretVersion.Store(&version)
		r.decide(p) // by what is there now
	}
	what := secret.Altered(written, sent)
	if what == "" {
		return nil
	}
	return r.changedByAdmission(p, sent, what)
}

// changedByAdmission is that the API server made something else of a Secret.
func (*Reconciler) changedByAdmission(p *pass, sent *corev1.Secret, what string) *trouble {
	p.memo.writeFailed, p.memo.altered = true, true
	return &trouble{reason: v1alpha1.ReasonSecretWriteFailed, message: fmt.Sprintf(
		"Secret %s cannot be written as it must be: its %s was changed by admission. Exclude Secrets with the label %s from the mutating webhook or admission policy that changes them.",
		sent.Name, what, secret.UIDLabel)}
}

// lookAgain reads live what a write met; nil if there is nothing (any more). What is there now may want another shape.
func (r *Reconciler) lookAgain(ctx context.Context, want *corev1.Secret) (*corev1.Secret, error) {
	found, err := r.lookLive(ctx, client.ObjectKeyFromObject(want))
	if err == nil && secret.Adopted(want) != (found != nil && secret.Adopted(found)) {
		err = apiserver.ErrContended
	}
	return stripped(found), err
}

// writeOption is an option of both Create and Patch.
type writeOption interface {
	client.CreateOption
	client.PatchOption
}

// put creates the Secret if none was seen, and fails if there is one; otherwise it patches what was seen, and fails if
// that has changed.
func (r *Reconciler) put(ctx context.Context, seen, want *corev1.Secret, options []writeOption) (*corev1.Secret, error) {
	manager := client.FieldOwner(secret.FieldManager(want))
	if seen == nil {
		created := want.DeepCopy()
		create := []client.CreateOption{manager}
		for _, o := range options {
			create = append(create, o)
		}
		return created, r.Create(ctx, created, create...)
	}
	patched := &corev1.Secret{ObjectMeta: objectMeta(want)}
	patch := []client.PatchOption{manager}
	for _, o := range options {
		patch = append(patch, o)
	}
	return patched, r.Patch(ctx, patched, client.RawPatch(secret.PatchType, secret.Patch(seen, want)), patch...)
}

// objectMeta is a Secret's name.
func objectMeta(s *corev1.Secret) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: s.Namespace, Name: s.Name}
}

// audit writes one line for each issue, written to the Secret or not. Its keys are stable: they join ActionTrail's events
// to the object.
func (r *Reconciler) audit(p *pass, session credentials.Credentials) {
	r.Audit.Info("issued",
		"namespace", p.credential.Namespace,
		"name", p.credential.Name,
		"role", p.request.RoleARN,
		"session", p.request.SessionName,
		"accessKeyID", credentials.ShownAccessKeyID(session.AccessKeyID),
		"requestID", session.RequestID,
		"expiresAt", session.ExpiresAt.Format(time.RFC3339),
		"caller", p.caller,
		"grant", p.verdict.GrantName,
		"cause", string(p.decision.Cause),
	)
}
