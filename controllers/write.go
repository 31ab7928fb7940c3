// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"encoding/base64"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/secret"
	"github.com/stscredential/sts-credential-operator/internal/sts"
)

// write puts a session into the Secret, whole, and notes it in the audit log.
func (r *Reconciler) write(ctx context.Context, p *pass, session sts.Session) {
	if r.apply(ctx, p, r.render(p, session), session); p.trouble != nil {
		p.memo.writeFailed = true
		return
	}
	r.audit(p, session)
}

// rehearse writes a stand-in without effect: after a failed write, STS is not asked before the API server would take the
// Secret.
func (r *Reconciler) rehearse(ctx context.Context, p *pass) {
	now := r.STS.Now()
	standIn := sts.Session{AccessKeyID: "dry-run", AccessKeySecret: "dry-run", SecurityToken: "dry-run", IssuedAt: now, ExpiresAt: now.Add(time.Minute)}
	r.apply(ctx, p, r.render(p, standIn), standIn, client.DryRunAll)
}

func (r *Reconciler) render(p *pass, session sts.Session) *corev1.Secret {
	return secret.Render(p.credential, session, p.request, p.wish())
}

// maxTries bounds how often a write is repeated when somebody else wrote first.
const maxTries = 3

// apply makes the Secret as wanted, or notes why it could not. Where somebody wrote since it was seen, it looks again
// and takes care that the Secret still is ours.
func (r *Reconciler) apply(ctx context.Context, p *pass, want *corev1.Secret, session sts.Session, options ...writeOption) {
	seen := p.seen
	var err error
	for range maxTries {
		var written *corev1.Secret
		if written, err = r.put(ctx, seen, want, options); err == nil {
			if len(options) == 0 {
				p.saw(written)
				p.memo.secretVersion = written.ResourceVersion
			}
			return
		}
		if !apierrors.IsAlreadyExists(err) && !apierrors.IsConflict(err) && !apierrors.IsNotFound(err) {
			break
		}
		found, lookErr := r.lookLive(ctx, client.ObjectKeyFromObject(want))
		if lookErr != nil {
			err = lookErr
			break
		}
		if found != nil && !secret.Owned(found, p.credential) {
			p.conflict()
			return
		}
		seen = stripped(found)
	}
	retry := p.memo.failed(sts.Transient, r.lifeLeft(p))
	p.fail(v1alpha1.ReasonSecretWriteFailed, retry, "Secret %s cannot be written: %s", want.Name, scrub(err, session))
	p.memo.remember(p.trouble, r.Clock.Now())
}

// writeOption is an option of both Create and Patch.
type writeOption interface {
	client.CreateOption
	client.PatchOption
}

// put creates the Secret if none was seen, and fails if there is one; otherwise it patches what was seen, and fails if
// that has changed.
func (r *Reconciler) put(ctx context.Context, seen, want *corev1.Secret, options []writeOption) (*corev1.Secret, error) {
	if seen == nil {
		created := want.DeepCopy()
		var create []client.CreateOption
		for _, o := range options {
			create = append(create, o)
		}
		return created, r.Create(ctx, created, create...)
	}
	patched := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: want.Namespace, Name: want.Name}}
	var patch []client.PatchOption
	for _, o := range options {
		patch = append(patch, o)
	}
	return patched, r.Patch(ctx, patched, client.RawPatch(types.MergePatchType, secret.Patch(seen, want)), patch...)
}

// maxMessage bounds what of an API server's message is told, in bytes.
const maxMessage = 512

// scrub is what an API server's error says, without anything secret that an admission plug-in may have quoted.
func scrub(err error, session sts.Session) string {
	message := err.Error()
	for _, hidden := range []string{session.AccessKeySecret, session.SecurityToken} {
		if hidden == "" {
			continue
		}
		message = strings.ReplaceAll(message, hidden, "[redacted]")
		message = strings.ReplaceAll(message, base64.StdEncoding.EncodeToString([]byte(hidden)), "[redacted]")
	}
	if len(message) > maxMessage {
		message = strings.ToValidUTF8(message[:maxMessage], "") + "…"
	}
	return message
}

// audit writes one line for each issue. Its keys are stable: they join ActionTrail's events to the object.
func (r *Reconciler) audit(p *pass, session sts.Session) {
	r.Audit.Info("issued",
		"namespace", p.credential.Namespace,
		"name", p.credential.Name,
		"role", p.request.RoleARN,
		"session", p.request.SessionName,
		"accessKeyID", session.AccessKeyID,
		"requestID", session.RequestID,
		"expiresAt", session.ExpiresAt.Format(time.RFC3339),
		"caller", p.caller,
		"grant", p.verdict.GrantName,
		"cause", string(p.decision.Cause),
	)
}
