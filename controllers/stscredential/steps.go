// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stscredential

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/apiserver"
	"github.com/stscredential/sts-credential-operator/internal/credentials"
	"github.com/stscredential/sts-credential-operator/internal/eventlimit"
	"github.com/stscredential/sts-credential-operator/internal/grant"
	"github.com/stscredential/sts-credential-operator/internal/rampolicy"
	"github.com/stscredential/sts-credential-operator/internal/renewal"
	"github.com/stscredential/sts-credential-operator/internal/secret"
)

// pass is what one pass over an StsCredential has found out and done. Each step adds to it; status.go tells it.
type pass struct {
	credential *v1alpha1.StsCredential
	memo       *memo
	stopping   func() bool // whether the process ends, so that nothing is begun any more

	request  secret.Request // what the spec asks for and the grant imposes
	layout   secret.Layout  // which keys are written
	verdict  grant.Verdict  // of the grants; empty where the role's trust policy decides alone
	seen     *corev1.Secret // stripped; nil if there is none of ours
	record   *secret.Record // nil if there is none that is whole
	intact   bool           // data and record are as written
	decision renewal.Decision
	caller   string // ARN of who asked STS, as far as it is known

	trouble   *trouble      // what is wrong, nil if nothing is
	takesOver bool          // the Secret was another StsCredential's, which does not want it any more
	invalid   bool          // the operator's own checks refuse the spec
	wait      time.Duration // how long until a call may be made, though nothing is wrong
	queued    bool          // it waits for its turn in the budget
	holding   string        // what the operator holds back, and why, though nothing is wrong
	adjust    time.Duration // how long until metadata may be adjusted
	ending    bool          // the namespace is being deleted
	wrote     bool          // the Secret was written

	looks []time.Duration // how long until something beside the Secret is looked at: others under former names
}

// trouble is why credentials are not renewed.
type trouble struct {
	reason, message string
	retry           time.Duration // when to look again by itself; 0: an event will say
	passing         bool          // it may pass without a person
}

// fail notes what is wrong, unless something of higher precedence is.
func (p *pass) fail(t trouble) {
	if p.trouble != nil {
		return
	}
	t.message = eventlimit.Bounded(t.message)
	p.trouble = &t
}

// stall notes what is wrong until an event comes.
func (p *pass) stall(reason, format string, args ...any) {
	p.fail(trouble{reason: reason, message: fmt.Sprintf(format, args...)})
}

// plan works out what the spec asks STS for, and how it wants it written.
func (r *Reconciler) plan(p *pass) {
	c := p.credential
	p.request.Identity = c.Spec.Identity
	p.request.Request = credentials.Request{
		RoleARN:        c.Spec.RoleARN,
		SessionName:    c.SessionName(r.ClusterName),
		Duration:       c.Duration(),
		ExternalID:     c.Spec.ExternalID,
		SourceIdentity: c.Spec.SourceIdentity,
	}
	if c.Spec.Policy != nil {
		policy, err := rampolicy.Compact(c.Spec.Policy.Raw)
		if err != nil {
			p.stall(v1alpha1.ReasonInvalidSpec, "spec.policy: %v", err)
		}
		p.request.Policy = policy
	}
	if who := c.Spec.Identity; who != nil && who.AccessKey != nil && who.AccessKey.SecretName == c.SecretName() {
		p.stall(v1alpha1.ReasonInvalidSpec, "identity.accessKey.secretName: the credentials would be written over the AccessKey in Secret %s. "+
			"Set secret.name to the name of another Secret.", c.SecretName())
	}
	layout, err := secret.NewLayout(c.Spec.Secret, r.Region)
	if err != nil {
		p.stall(v1alpha1.ReasonInvalidSpec, "%v", err)
	}
	p.layout, p.invalid = layout, p.trouble != nil
}

// authorise finds out whether this namespace may make this request: by a grant where the operator asks, by the role's
// own trust policy, which STS judges, where somebody of the namespace does.
func (r *Reconciler) authorise(ctx context.Context, p *pass) error {
	c := p.credential
	namespace := namespaceMetadata()
	if err := r.Get(ctx, types.NamespacedName{Name: c.Namespace}, namespace); err != nil {
		return fmt.Errorf("read namespace %s: %w", c.Namespace, err)
	}
	p.ending = !namespace.DeletionTimestamp.IsZero()
	if c.Spec.Identity == nil {
		return r.findGrant(ctx, p, namespace.Labels)
	}
	return nil
}

// findGrant looks for the grant that lets this namespace make this request.
func (r *Reconciler) findGrant(ctx context.Context, p *pass, namespaceLabels map[string]string) error {
	c := p.credential
	var grants v1alpha1.StsRoleGrantList
	if err := r.List(ctx, &grants, client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("list StsRoleGrants: %w", err)
	}
	prefix := v1alpha1.SessionPrefix(r.ClusterName, c.Namespace)
	p.verdict = grant.Decide(grants.Items, grant.Request{
		Namespace:       c.Namespace,
		NamespaceLabels: namespaceLabels,
		RoleARN:         p.request.RoleARN,
		Duration:        p.request.Duration,
		SessionPrefix:   prefix,
		FreeSessionName: c.Spec.SessionName != "" && !strings.HasPrefix(c.Spec.SessionName, prefix),
		SourceIdentity:  p.request.SourceIdentity != "",
		OwnPolicy:       c.Spec.Policy != nil,
	})
	switch {
	case c.Spec.Suspend: // which is told instead, and makes no call
	case !p.verdict.Granted():
		p.stall(v1alpha1.ReasonRoleNotGranted, "%s", p.verdict.Refusal)
	case p.verdict.Policy != nil:
		policy, err := rampolicy.Compact(p.verdict.Policy.Raw)
		if err != nil {
			p.stall(v1alpha1.ReasonRoleNotGranted, "the policy of StsRoleGrant %s cannot be used, a cluster admin must correct it: %v", p.verdict.GrantName, err)
		}
		p.request.ImposedPolicy = policy
	}
	return nil
}

// authorised reports whether the request may be made: what is imposed on it is known then.
func (p *pass) authorised() bool { return p.request.Identity != nil || p.verdict.Granted() }

// wish is the renewal that a user asks for, empty if none does.
func (p *pass) wish() string {
	return secret.RenewRequest(p.credential.Annotations[v1alpha1.AnnotationRenewRequestedAt])
}

// decide holds the record against what is wanted.
func (r *Reconciler) decide(p *pass) {
	c := p.credential
	facts := renewal.Facts{
		Suspended:    c.Spec.Suspend,
		Duration:     c.Duration(),
		RenewBefore:  c.RenewBefore(),
		Restarts:     c.Restarts(),
		RenewRequest: p.wish(),
		Seed:         string(c.UID),
	}
	if p.record != nil {
		facts.RenewEarly = r.Early.Requested(client.ObjectKeyFromObject(c), p.record.RequestID)
		facts.Record = &renewal.Record{
			IssuedAt:            p.record.IssuedAt,
			ExpiresAt:           p.record.ExpiresAt,
			RequestID:           p.record.RequestID,
			HandledRenewRequest: p.record.HandledRenewRequest,
			Foreign:             p.record.Credential != c.Namespace+"/"+c.Name,
			Edited:              !p.intact,
			RequestChanged:      p.invalid || p.record.RequestChanged(p.request),
			PolicyChanged:       p.authorised() && p.record.PolicyChanged(p.request),
			LayoutChanged:       p.record.LayoutChanged(p.layout),
		}
	}
	p.decision = renewal.Decide(r.STS.Now(), facts)
	if c.Spec.Suspend && !p.decision.Usable {
		p.stall(v1alpha1.ReasonSuspended, "spec.suspend is true and the Secret holds no valid credentials for this spec: set it to false to have them issued")
	}
}

// maySync reports whether the metadata of the Secret may be written without a call to STS.
func (p *pass) maySync() bool {
	return !p.foreign() && !p.credential.Spec.Suspend && !p.ending && !p.untouched()
}

// settle brings labels, annotations and owner of a Secret in line with the spec, without a call to STS. It writes to the
// Secret that was seen or to none.
func (r *Reconciler) settle(ctx context.Context, p *pass) {
	if p.seen == nil || p.wrote || !p.maySync() {
		return
	}
	frame, now := p.shaped(secret.Frame(p.credential)), r.Clock.Now()
	if secret.Patch(p.seen, frame) == nil {
		p.memo.adjustTrouble = nil
		return
	}
	p.adjust = p.memo.adjustments.until(p.attempt(), now)
	switch {
	case p.adjust > 0:
		p.holding = cmp.Or(p.holding, r.pacedCorrection(p, "its labels, annotations or owner", p.adjust))
	case r.adjust(ctx, p, frame):
		p.memo.adjustments.done(p.attempt(), now)
		p.adjust = p.memo.adjustments.until(p.attempt(), now)
	default:
		p.adjust = missedRetry
	}
	if t := p.memo.adjustTrouble; t != nil {
		p.fail(*t)
	}
}

// pacedCorrection says that another client changed part of the Secret, and when the operator corrects it: not at once,
// since it has done so shortly before.
func (r *Reconciler) pacedCorrection(p *pass, part string, wait time.Duration) string {
	return fmt.Sprintf("another client changed Secret %s (%s) again: the operator corrects it at %s, since repeated corrections are paced. Stop the other client",
		p.credential.SecretName(), part, r.stsTime(r.Clock.Now().Add(wait)).Format(time.RFC3339))
}

// missedRetry is when an object that changed between the look and the write is looked at again.
const missedRetry = time.Second

// adjust makes one try, and reports whether it was one: a Secret that has changed since it was seen is left alone.
func (r *Reconciler) adjust(ctx context.Context, p *pass, frame *corev1.Secret) bool {
	intact := p.intact
	written, err := r.put(ctx, p.seen, frame, nil)
	switch {
	case apiserver.IsConflict(err):
		return false
	case err != nil:
		p.memo.adjustTrouble = r.unwritten(p, frame, err)
	default:
		p.memo.adjustTrouble = r.stored(p, written, frame, true)
		if intact && !p.intact && p.memo.adjustTrouble == nil {
			p.memo.adjustTrouble = r.changedByAdmission(p, frame, "record")
		}
	}
	return true
}
