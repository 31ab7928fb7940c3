// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package sts

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	openapiutil "github.com/alibabacloud-go/darabonba-openapi/v2/utils"
	sdk "github.com/alibabacloud-go/sts-20150401/v2/client"
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
	var body sdk.AssumeRoleResponseBody // the response of the other action has the same fields
	x, err := c.exchange(ctx, action, in.values(), func(ctx context.Context, x *exchange) error { return c.post(ctx, x, action, in.form(), &body) })
	if err != nil {
		return credentials.Credentials{}, err
	}
	issued := issuedCredentials(&body, c.issuedAt(x), in.Duration)
	if issued == nil {
		return credentials.Credentials{}, newError(action, in.values(), incompleteResponse, nil)
	}
	return *issued, nil
}

// post makes a call that is not signed, with its parameters in the body, and decodes the response into out. The SDK's own
// method writes the token into the URL.
func (c *Client) post(ctx context.Context, x *exchange, action string, form url.Values, out any) error {
	const version = "2015-04-01"
	query := url.Values{
		"Action": {action}, "Version": {version}, "Format": {"json"},
		"Timestamp": {ptr.Deref(openapiutil.GetTimestamp(), "")}, "SignatureNonce": {ptr.Deref(openapiutil.GetNonce(), "")},
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.URL()+"/?"+query.Encode(), strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	for name, value := range map[string]string{
		"Content-Type": "application/x-www-form-urlencoded", "User-Agent": ptr.Deref(openapiutil.GetUserAgent(c.sdk.UserAgent), ""),
		"x-acs-action": action, "x-acs-version": version,
	} {
		request.Header.Set(name, value)
	}
	response, err := x.Call(request, nil)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode >= http.StatusBadRequest {
		return errFailed
	}
	return json.NewDecoder(response.Body).Decode(out)
}

// values returns the values of the request for messages.
func (in OIDCRequest) values() messageValues {
	v := requestValues(in.Request)
	v.subject.ProviderARN = in.ProviderARN
	return v
}

// form returns the request's body, without empty values.
func (in OIDCRequest) form() url.Values {
	form := url.Values{
		"OIDCProviderArn": {in.ProviderARN}, "OIDCToken": {in.Token},
		"RoleArn": {in.RoleARN}, "RoleSessionName": {in.SessionName},
	}
	if in.Policy != "" {
		form.Set("Policy", in.Policy)
	}
	if in.Duration > 0 {
		form.Set("DurationSeconds", strconv.FormatInt(int64(in.Duration/time.Second), 10))
	}
	return form
}
