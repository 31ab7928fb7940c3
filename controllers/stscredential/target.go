// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stscredential

import (
	"context"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/credentials"
	"github.com/stscredential/sts-credential-operator/internal/grant"
	"github.com/stscredential/sts-credential-operator/internal/rampolicy"
	"github.com/stscredential/sts-credential-operator/internal/secret"
)

// target is an StsCredential with what its spec asks for and what it is allowed. It does not change during a reconcile.
type target struct {
	credential *v1alpha1.StsCredential
	state      *objectState
	stopping   func() bool // whether the process ends, so that nothing is begun any more
	spec
	access
	specRefused bool // by the operator's own checks
}

// spec is what the spec asks for.
type spec struct {
	request      credentials.Request
	layout       secret.Layout
	renewRequest string // that a user makes; empty if none does
}

// access is what the namespace is allowed.
type access struct {
	granted       bool   // by a grant, or left to the role's trust policy
	grantName     string // empty if the role's trust policy decides alone
	imposedPolicy string // by the grant; empty if none
	terminating   bool   // the namespace is being deleted
}

// stsRequest returns the request to STS, with what a grant imposes on it.
func (t target) stsRequest() secret.Request {
	return secret.Request{Request: t.request, Identity: t.credential.Spec.Identity, ImposedPolicy: t.imposedPolicy}
}

// backoffKey tells tries apart: a failed one delays only another like it.
func (t target) backoffKey() string {
	return fmt.Sprint(t.credential.Generation, "/", t.grantName, "/", t.imposedPolicy, "/", t.renewRequest)
}

// requestKey tells issued credentials apart: those that could not be written answer the same request only.
func (t target) requestKey() string { return t.stsRequest().Hash() + "/" + t.renewRequest }

// readSpec returns what the spec asks for. Its error is InvalidSpec; what the spec asks for beside that is returned, too.
func (r *Reconciler) readSpec(c *v1alpha1.StsCredential) (spec, error) {
	request := credentials.Request{
		RoleARN:        c.Spec.RoleARN,
		SessionName:    c.SessionName(r.ClusterName),
		Duration:       c.Duration(),
		ExternalID:     c.Spec.ExternalID,
		SourceIdentity: c.Spec.SourceIdentity,
	}
	var policyErr, identityErr, layoutErr error
	if c.Spec.Policy != nil {
		policy, err := rampolicy.Compact(c.Spec.Policy.Raw)
		if err != nil {
			policyErr = newError(v1alpha1.ReasonInvalidSpec, "spec.policy: %v", err)
		}
		request.Policy = policy
	}
	if who := c.Spec.Identity; who != nil && who.AccessKey != nil && who.AccessKey.SecretName == c.SecretName() {
		identityErr = newError(v1alpha1.ReasonInvalidSpec, "identity.accessKey.secretName: the credentials would be written over the AccessKey in Secret %s. "+
			"Set secret.name to the name of another Secret.", c.SecretName())
	}
	layout, err := secret.NewLayout(c.Spec.Secret, r.Region)
	if err != nil {
		layoutErr = newError(v1alpha1.ReasonInvalidSpec, "%v", err)
	}
	renewRequest := secret.RenewRequest(c.Annotations[v1alpha1.AnnotationRenewRequestedAt])
	read := spec{request: request, layout: layout, renewRequest: renewRequest}
	if invalid, _ := first(policyErr, identityErr, layoutErr); invalid != nil {
		return read, invalid
	}
	return read, nil
}

// authorize finds out whether the namespace may make the request: by a grant where the operator calls STS as itself, and by
// the role's own trust policy, which STS judges, where an identity of the namespace does.
func (r *Reconciler) authorize(ctx context.Context, c *v1alpha1.StsCredential, request credentials.Request) (access, error) {
	namespace := namespaceMetadata()
	if err := r.Get(ctx, types.NamespacedName{Name: c.Namespace}, namespace); err != nil {
		return access{}, fmt.Errorf("read namespace %s: %w", c.Namespace, err)
	}
	terminating := !namespace.DeletionTimestamp.IsZero()
	if c.Spec.Identity != nil {
		return access{granted: true, terminating: terminating}, nil
	}
	var grants v1alpha1.StsRoleGrantList
	if err := r.List(ctx, &grants, client.UnsafeDisableDeepCopy); err != nil {
		return access{}, fmt.Errorf("list StsRoleGrants: %w", err)
	}
	prefix := v1alpha1.SessionPrefix(r.ClusterName, c.Namespace)
	verdict := grant.Decide(grants.Items, grant.Request{
		Namespace:       c.Namespace,
		NamespaceLabels: namespace.Labels,
		RoleARN:         request.RoleARN,
		Duration:        request.Duration,
		SessionPrefix:   prefix,
		FreeSessionName: c.Spec.SessionName != "" && !strings.HasPrefix(c.Spec.SessionName, prefix),
		SourceIdentity:  request.SourceIdentity != "",
		OwnPolicy:       c.Spec.Policy != nil,
	})
	allowed := access{granted: verdict.Granted(), grantName: verdict.GrantName, terminating: terminating}
	switch {
	case c.Spec.Suspend: // which is reported instead, and makes no call
		return allowed, nil
	case !verdict.Granted():
		return allowed, newError(v1alpha1.ReasonRoleNotGranted, "%s", verdict.Refusal)
	case verdict.Policy == nil:
		return allowed, nil
	}
	policy, err := rampolicy.Compact(verdict.Policy.Raw)
	allowed.imposedPolicy = policy
	if err != nil {
		return allowed, newError(v1alpha1.ReasonRoleNotGranted, "the policy of StsRoleGrant %s cannot be used, a cluster admin must correct it: %v", verdict.GrantName, err)
	}
	return allowed, nil
}
