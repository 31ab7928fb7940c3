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
)

// access is what the namespace may do.
type access struct {
	granted       bool   // by a grant, or left to the role's trust policy
	grantName     string // empty if the role's trust policy decides alone
	imposedPolicy string // by the grant; empty if none
	terminating   bool   // the namespace is being deleted
}

// authorize reports whether the namespace may make the request. A request with the operator's own identity needs a grant.
// For a request with an identity of the namespace (spec.identity), STS checks the role's trust policy.
func authorize(ctx context.Context, cached client.Reader, c *v1alpha1.StsCredential, request credentials.Request, clusterName string) (access, error) {
	namespace := namespaceMetadata()
	if err := cached.Get(ctx, types.NamespacedName{Name: c.Namespace}, namespace); err != nil {
		return access{}, fmt.Errorf("failed to read namespace %s: %w", c.Namespace, err)
	}
	terminating := !namespace.DeletionTimestamp.IsZero()
	if c.Spec.Identity != nil {
		return access{granted: true, terminating: terminating}, nil
	}
	var grants v1alpha1.StsRoleGrantList
	if err := cached.List(ctx, &grants, client.UnsafeDisableDeepCopy); err != nil {
		return access{}, fmt.Errorf("failed to list StsRoleGrants: %w", err)
	}
	prefix := v1alpha1.SessionPrefix(clusterName, c.Namespace)
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
	case c.Spec.Suspend: // the suspension is reported instead, and no call is made
		return allowed, nil
	case !verdict.Granted():
		return allowed, newError(v1alpha1.ReasonRoleNotGranted, "%s", verdict.Refusal)
	case verdict.Policy == nil:
		return allowed, nil
	}
	policy, err := rampolicy.Compact(verdict.Policy.Raw)
	allowed.imposedPolicy = policy
	if err != nil {
		return allowed, newError(v1alpha1.ReasonRoleNotGranted, "the policy of StsRoleGrant %s is invalid: %v. Ask a cluster administrator to correct it", verdict.GrantName, err)
	}
	return allowed, nil
}
