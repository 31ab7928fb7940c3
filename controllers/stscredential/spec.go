// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stscredential

import (
	"fmt"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/credentials"
	"github.com/stscredential/sts-credential-operator/internal/rampolicy"
	"github.com/stscredential/sts-credential-operator/internal/secret"
)

// target is an StsCredential, its request, and the access of its namespace. It does not change during a reconcile.
type target struct {
	credential *v1alpha1.StsCredential
	spec
	access
	history
	specRefused bool // by the operator's own checks
}

// spec is what the spec requests.
type spec struct {
	request      credentials.Request
	layout       secret.Layout
	renewRequest string // of a user; empty if there is none
}

// history is what earlier reconciles of this process found.
type history struct {
	specChanged   bool   // since the last reconcile
	firstIssuance bool   // as far as is known, nothing was issued, and no create failed because the Secret exists
	secretVersion string // of the Secret, as it was written last; empty if it was not
}

// readSpec returns the request and the layout of the spec. Its error has the reason InvalidSpec; the valid parts are returned with
// it.
func readSpec(c *v1alpha1.StsCredential, clusterName, region string) (spec, error) {
	request := credentials.Request{
		RoleARN:        c.Spec.RoleARN,
		SessionName:    c.SessionName(clusterName),
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
			"Set secret.name to the name of another Secret", c.SecretName())
	}
	layout, err := secret.NewLayout(c.Spec.Secret, region)
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

// stsRequest returns the request to STS, with what a grant imposes on it.
func (t target) stsRequest() secret.Request {
	return secret.Request{Request: t.request, Identity: t.credential.Spec.Identity, ImposedPolicy: t.imposedPolicy}
}

// backoffKey distinguishes attempts: a failed one delays only attempts with the same key.
func (t target) backoffKey() string {
	return fmt.Sprint(t.credential.Generation, "/", t.grantName, "/", t.imposedPolicy, "/", t.renewRequest)
}

// requestKey distinguishes issued credentials: those that could not be written answer the same request only.
func (t target) requestKey() string { return t.stsRequest().Hash() + "/" + t.renewRequest }
