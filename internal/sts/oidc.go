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

// The rules for what cannot be asked for with an OIDC token.
var (
	notWithOIDC = rule{"", Invalid, ReasonInvalidSpec,
		"a ServiceAccount's session takes neither an external id nor a source identity: remove externalID and sourceIdentity"}
	noOIDCToken = rule{"", Refused, ReasonIdentityUnavailable,
		"there is no token, or no OIDC provider, to ask with: give both"}
)

// AssumeRoleWithOIDC requests temporary credentials for the subject of the token. The call is not signed, and the token is
// in its body, which no proxy logs. The error is an *Error; credentials are returned complete or not at all.
func (c *Client) AssumeRoleWithOIDC(ctx context.Context, in OIDCRequest) (_ credentials.Credentials, err error) {
	const action = ActionAssumeRoleWithOIDC
	defer c.ended(action, c.clock.Now(), &err)
	switch {
	case in.ExternalID != "" || in.SourceIdentity != "":
		return credentials.Credentials{}, failure(action, in.names(), notWithOIDC, nil)
	case in.ProviderARN == "" || in.Token == "":
		return credentials.Credentials{}, failure(action, in.names(), noOIDCToken, nil)
	}
	var response sdk.AssumeRoleResponse // has all that is read of the other action's
	x, err := c.callAs(ctx, action, in.names(), nil, func(client *sdk.Client) error {
		// The SDK's own method puts the token into the URL. This is the form that
		// credentials-go sends: the action in the URL, its parameters in the body.
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
		return credentials.Credentials{}, failure(action, in.names(), partial, nil)
	}
	return *issued, nil
}

// names are what an error says of the request.
func (in OIDCRequest) names() names {
	n := requestNames(in.Request)
	n.subject.ProviderARN = in.ProviderARN
	return n
}

// form is the request's body; what is not set is not sent.
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
