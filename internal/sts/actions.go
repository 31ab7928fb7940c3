// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package sts

import (
	"cmp"
	"context"
	"regexp"
	"time"

	sdk "github.com/alibabacloud-go/sts-20150401/v2/client"
	"k8s.io/utils/ptr"

	"github.com/stscredential/sts-credential-operator/internal/credentials"
)

// requestValues returns the values of the request for messages.
func requestValues(in credentials.Request) messageValues {
	return messageValues{role: in.RoleARN, session: in.SessionName, duration: in.Duration}
}

// AssumeRole requests temporary credentials with a call that signer signs. The error is an *Error; credentials are returned
// complete or not at all.
func (c *Client) AssumeRole(ctx context.Context, signer credentials.Credentials, in credentials.Request) (_ credentials.Credentials, err error) {
	const action = ActionAssumeRole
	defer c.observeCall(action, c.clock.Now(), &err)
	request := &sdk.AssumeRoleRequest{
		RoleArn:         &in.RoleARN,
		RoleSessionName: &in.SessionName,
		Policy:          unlessEmpty(in.Policy),
		ExternalId:      unlessEmpty(in.ExternalID),
		SourceIdentity:  unlessEmpty(in.SourceIdentity),
	}
	if in.Duration > 0 {
		request.DurationSeconds = ptr.To(int64(in.Duration / time.Second))
	}
	var response *sdk.AssumeRoleResponse
	x, err := c.call(ctx, action, requestValues(in), signer, func(client *sdk.Client) (err error) {
		response, err = client.AssumeRole(request)
		return err
	})
	if err != nil {
		return credentials.Credentials{}, err
	}
	issued := issuedCredentials(response.Body, c.issuedAt(x), in.Duration)
	if issued == nil {
		return credentials.Credentials{}, newError(action, requestValues(in), incompleteResponse, nil)
	}
	return *issued, nil
}

// issuedAt returns the time of the response, by STS's clock.
func (c *Client) issuedAt(x *exchange) time.Time {
	if x.date.IsZero() {
		return x.received.Add(c.Skew())
	}
	return x.date
}

// Formats of the names in a response. internal/secret has the same bounds for its record.
var (
	accessKeyIDFormat    = regexp.MustCompile(`^[!-~]{1,256}$`)
	assumedRoleARNFormat = regexp.MustCompile(`^[!-~]{1,512}$`)
	assumedRoleIDFormat  = regexp.MustCompile(`^[!-~]{1,256}$`)
)

// defaultDuration is the lifetime of credentials that are requested without a duration.
const defaultDuration = time.Hour

// issuedCredentials returns the credentials of a response; nil unless they are complete and expire after issuedAt. Names of
// the session that are not well formed are left out: the credentials work without them. requested is the duration of the
// request; 0 is STS's default.
func issuedCredentials(body *sdk.AssumeRoleResponseBody, issuedAt time.Time, requested time.Duration) *credentials.Credentials {
	if body == nil || body.Credentials == nil {
		return nil
	}
	expiresAt, err := time.Parse(time.RFC3339, ptr.Deref(body.Credentials.Expiration, ""))
	if err != nil || !expiresAt.After(issuedAt) {
		return nil
	}
	if expiresAt.Sub(issuedAt) > credentials.MaxLifetime {
		// STS issues no credentials that live so long. They work all the same, for the requested duration. Rejecting them would
		// leave no valid credentials, and trusting the Expiration would renew them too late.
		expiresAt = issuedAt.Add(cmp.Or(requested, defaultDuration))
	}
	c := &credentials.Credentials{
		AccessKeyID:     ptr.Deref(body.Credentials.AccessKeyId, ""),
		AccessKeySecret: ptr.Deref(body.Credentials.AccessKeySecret, ""),
		SecurityToken:   ptr.Deref(body.Credentials.SecurityToken, ""),
		IssuedAt:        issuedAt.UTC(),
		ExpiresAt:       expiresAt.UTC(),
		RequestID:       wellFormed(ptr.Deref(body.RequestId, ""), requestIDFormat),
	}
	if !c.WellFormed() || c.SecurityToken == "" || !accessKeyIDFormat.MatchString(c.AccessKeyID) {
		return nil
	}
	if user := body.AssumedRoleUser; user != nil {
		c.AssumedRoleARN = wellFormed(ptr.Deref(user.Arn, ""), assumedRoleARNFormat)
		c.AssumedRoleID = wellFormed(ptr.Deref(user.AssumedRoleId, ""), assumedRoleIDFormat)
	}
	return c
}

// Caller is the identity that signed a call, as STS returns it.
type Caller struct {
	// Account is the number of the Alibaba Cloud account.
	Account string
	// ARN is acs:ram::<account>:user/<name>, acs:ram::<account>:assumed-role/<role>/<session>
	// or acs:ram::<account>:root.
	ARN string
	// UserID is a RAM user's (or the account's) number; empty for a role.
	UserID string
	// RoleID is a role's number; empty for a user.
	RoleID string
	// PrincipalID is the user's number, or <role id>:<session>.
	PrincipalID string
	// IdentityType is Account, RAMUser or AssumedRoleUser.
	IdentityType string
}

// GetCallerIdentity returns the identity of signer. It needs no permission. The error is an *Error.
func (c *Client) GetCallerIdentity(ctx context.Context, signer credentials.Credentials) (_ Caller, err error) {
	const action = ActionGetCallerIdentity
	defer c.observeCall(action, c.clock.Now(), &err)
	var response *sdk.GetCallerIdentityResponse
	_, err = c.call(ctx, action, messageValues{}, signer, func(client *sdk.Client) (err error) {
		response, err = client.GetCallerIdentity()
		return err
	})
	if err != nil {
		return Caller{}, err
	}
	body := response.Body
	if body == nil || ptr.Deref(body.AccountId, "") == "" || ptr.Deref(body.Arn, "") == "" {
		return Caller{}, newError(action, messageValues{}, incompleteResponse, nil)
	}
	return Caller{
		Account:      *body.AccountId,
		ARN:          *body.Arn,
		UserID:       ptr.Deref(body.UserId, ""),
		RoleID:       ptr.Deref(body.RoleId, ""),
		PrincipalID:  ptr.Deref(body.PrincipalId, ""),
		IdentityType: ptr.Deref(body.IdentityType, ""),
	}, nil
}

func unlessEmpty(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
