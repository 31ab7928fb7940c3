// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stscredential

import (
	"fmt"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/credentials"
	"github.com/stscredential/sts-credential-operator/internal/secret"
)

// target is an StsCredential with what its spec asks for and what it is allowed. It does not change during a reconcile.
type target struct {
	credential *v1alpha1.StsCredential
	spec
	access
	history
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

// history is what earlier reconciles of this process found.
type history struct {
	specChanged   bool   // since the last one
	firstIssuance bool   // nothing was issued as far as is known, and no create has met a Secret
	secretVersion string // of the Secret, as it was written last; empty if it was not
}

// stsRequest returns the request to STS, with what a grant imposes on it.
func (t target) stsRequest() secret.Request {
	return secret.Request{Request: t.request, Identity: t.credential.Spec.Identity, ImposedPolicy: t.imposedPolicy}
}

// backoffKey distinguishes tries: a failed one delays only another like it.
func (t target) backoffKey() string {
	return fmt.Sprint(t.credential.Generation, "/", t.grantName, "/", t.imposedPolicy, "/", t.renewRequest)
}

// requestKey distinguishes issued credentials: those that could not be written answer the same request only.
func (t target) requestKey() string { return t.stsRequest().Hash() + "/" + t.renewRequest }
