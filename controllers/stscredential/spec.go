// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stscredential

import (
	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/credentials"
	"github.com/stscredential/sts-credential-operator/internal/rampolicy"
	"github.com/stscredential/sts-credential-operator/internal/secret"
)

// readSpec returns what the spec asks for. Its error is InvalidSpec; what the spec asks for beside that is returned, too.
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
			"Set secret.name to the name of another Secret.", c.SecretName())
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
