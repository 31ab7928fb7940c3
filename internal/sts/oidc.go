// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package sts

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	openapiutil "github.com/alibabacloud-go/darabonba-openapi/v2/utils"
	sdk "github.com/alibabacloud-go/sts-20150401/v2/client"
	"github.com/alibabacloud-go/tea/dara"
	"k8s.io/utils/ptr"
)

// OIDCInput is what a session is asked for with an OIDC token in place of keys.
// It prints as "redacted" as Keys do, with the same exception. Bounds are STS's own:
// https://api.aliyun.com/document/Sts/2015-04-01/AssumeRoleWithOIDC.
type OIDCInput struct {
	// ProviderARN is acs:ram::<account>:oidc-provider/<name>; required.
	ProviderARN string
	// Token is a JWT that the provider's issuer signed, of 4 to 20000 characters; required.
	Token string
	// AssumeRoleInput is the rest. ExternalID and SourceIdentity must be empty: the
	// action does not have them.
	AssumeRoleInput
}

// Format prints "redacted", whatever the verb.
func (OIDCInput) Format(s fmt.State, _ rune) { writeRedacted(s) }

// MarshalText is "redacted", for JSON, YAML and text encoders; never an error.
func (OIDCInput) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// LogValue is "redacted", for log/slog.
func (OIDCInput) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalLog is "redacted", for logr.
func (OIDCInput) MarshalLog() any { return redacted }

// The rules for what cannot be asked for with an OIDC token.
var (
	notWithOIDC = rule{"", Invalid, ReasonInvalidSpec,
		"a ServiceAccount's session takes neither an external id nor a source identity: remove externalID and sourceIdentity"}
	noOIDCToken = rule{"", Refused, ReasonIdentityUnavailable,
		"there is no token, or no OIDC provider, to ask with: give both"}
)

// AssumeRoleWithOIDC asks for a session in the name of whoever the token speaks of.
// The call is not signed, and the token goes in its body, which no proxy logs. The
// error is an *Error; a session is returned whole or not at all.
func (c *Client) AssumeRoleWithOIDC(ctx context.Context, in OIDCInput) (_ Session, err error) {
	const action = ActionAssumeRoleWithOIDC
	defer c.ended(action, c.clock.Now(), &err)
	switch {
	case in.ExternalID != "" || in.SourceIdentity != "":
		return Session{}, failure(action, in.names(), notWithOIDC, nil)
	case in.ProviderARN == "" || in.Token == "":
		return Session{}, failure(action, in.names(), noOIDCToken, nil)
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
		return Session{}, err
	}
	session := sessionOf(response.Body, c.issuedAt(x), in.Duration)
	if session == nil {
		return Session{}, failure(action, in.names(), partial, nil)
	}
	return *session, nil
}

// names are what an error says of the request.
func (in OIDCInput) names() names {
	n := in.AssumeRoleInput.names()
	n.subject.ProviderARN = in.ProviderARN
	return n
}

// form is the request's body; what is not set is not sent.
func (in OIDCInput) form() map[string]any {
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
