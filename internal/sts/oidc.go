// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package sts

import (
	"context"
	"strconv"
	"time"

	openapiutil "github.com/alibabacloud-go/darabonba-openapi/v2/utils"
	sdk "github.com/alibabacloud-go/sts-20150401/v2/client"
	"github.com/alibabacloud-go/tea/dara"
	"k8s.io/utils/ptr"

	"github.com/stscredential/sts-credential-operator/internal/credentials"
)

// OIDCRequest is a request for temporary credentials with an OIDC token in place of a signature. It prints as "redacted".
// Bounds are STS's own: https://api.aliyun.com/document/Sts/2015-04-01/AssumeRoleWithOIDC.
type OIDCRequest struct {
	credentials.Redacted

	// ProviderARN is acs:ram::<account>:oidc-provider/<name>; required.
	ProviderARN string
	// Token is a JWT that the provider's issuer signed, of 4 to 20000 characters; required.
	Token string
	// ExternalID and SourceIdentity must be empty: the action does not have them.
	credentials.Request
}

// Classes of requests that cannot be made with an OIDC token.
var (
	notWithOIDC = errorClass{"", Invalid, ReasonInvalidSpec,
		"a ServiceAccount cannot send an external ID or a source identity. Remove spec.externalID and spec.sourceIdentity"}
	noOIDCToken = errorClass{"", Refused, ReasonIdentityUnavailable,
		"the OIDC token or the OIDC provider is missing. Set both"}
)

// AssumeRoleWithOIDC requests temporary credentials for the subject of the token. The call is not signed, and the token is
// in its body, which no proxy logs. The error is an *Error; credentials are returned complete or not at all.
func (c *Client) AssumeRoleWithOIDC(ctx context.Context, in OIDCRequest) (_ credentials.Credentials, err error) {
	const action = ActionAssumeRoleWithOIDC
	defer c.observeCall(action, c.clock.Now(), &err)
	switch {
	case in.ExternalID != "" || in.SourceIdentity != "":
		return credentials.Credentials{}, newError(action, in.values(), notWithOIDC, nil)
	case in.ProviderARN == "" || in.Token == "":
		return credentials.Credentials{}, newError(action, in.values(), noOIDCToken, nil)
	}
	var response sdk.AssumeRoleResponse // the response of the other action has the same fields
	x, err := c.callAs(ctx, action, in.values(), nil, func(client *sdk.Client) error {
		// The SDK's own method writes the token into the URL. Like credentials-go, this request has its parameters in the body.
		answer, err := client.DoRPCRequest(ptr.To(action), ptr.To("2015-04-01"), ptr.To("HTTPS"), ptr.To("POST"),
			ptr.To("Anonymous"), ptr.To("json"), &openapiutil.OpenApiRequest{Body: in.form()}, &dara.RuntimeOptions{})
		if err != nil {
			return err
		}
		return dara.Convert(answer, &response)
	})
	if err != nil {
		return credentials.Credentials{}, err
	}
	issued := issuedCredentials(response.Body, c.issuedAt(x), in.Duration)
	if issued == nil {
		return credentials.Credentials{}, newError(action, in.values(), incompleteResponse, nil)
	}
	return *issued, nil
}

// values returns the values of the request for messages.
func (in OIDCRequest) values() messageValues {
	v := requestValues(in.Request)
	v.subject.ProviderARN = in.ProviderARN
	return v
}

// form returns the request's body, without empty values.
func (in OIDCRequest) form() map[string]any {
	form := map[string]any{
		"OIDCProviderArn": in.ProviderARN, "OIDCToken": in.Token,
		"RoleArn": in.RoleARN, "RoleSessionName": in.SessionName,
	}
	if in.Policy != "" {
		form["Policy"] = in.Policy
	}
	if in.Duration > 0 {
		form["DurationSeconds"] = strconv.FormatInt(int64(in.Duration/time.Second), 10)
	}
	return form
}
