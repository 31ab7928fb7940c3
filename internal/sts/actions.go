// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package sts

import (
	"cmp"
	"context"
	"regexp"
	"time"

	sdk "github.com/alibabacloud-go/sts-20150401/v2/client"
	"github.com/alibabacloud-go/tea/dara"
	"k8s.io/utils/ptr"
)

// AssumeRoleInput is what a session is asked for. Bounds are STS's own:
// https://api.aliyun.com/document/Sts/2015-04-01/AssumeRole.
type AssumeRoleInput struct {
	// RoleARN is acs:ram::<account>:role/<name>; required.
	RoleARN string
	// SessionName is 2 to 64 of [A-Za-z0-9.@_-]; required.
	SessionName string
	// Duration is in whole seconds, from 15 min to the role's MaxSessionDuration; 0 = 1 h.
	Duration time.Duration
	// Policy is compact JSON of up to 2048 characters; "" = none.
	Policy string
	// ExternalID is 2 to 1224 characters; "" = none.
	ExternalID string
	// SourceIdentity is 2 to 64 characters; "" = none.
	SourceIdentity string
}

// names are what an error says of the request.
func (in AssumeRoleInput) names() names {
	return names{role: in.RoleARN, session: in.SessionName, duration: in.Duration}
}

// AssumeRole asks for a session, signed with keys. The error is an *Error; a
// session is returned whole or not at all.
func (c *Client) AssumeRole(ctx context.Context, keys Keys, in AssumeRoleInput) (_ Session, err error) {
	const action = ActionAssumeRole
	defer c.ended(action, c.clock.Now(), &err)
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
	x, err := c.call(ctx, action, in.names(), keys, func(client *sdk.Client) (err error) {
		response, err = client.AssumeRoleWithOptions(request, &dara.RuntimeOptions{})
		return err
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

// issuedAt is when STS answered, by its clock.
func (c *Client) issuedAt(x *exchange) time.Time {
	if x.date.IsZero() {
		return x.received.Add(c.Skew())
	}
	return x.date
}

// MaxLifetime is STS's longest session, 12 hours, and a little for its clock.
const MaxLifetime = 12*time.Hour + 10*time.Minute

// The bounds of what names a session in an answer: what is written down of them elsewhere has the same.
var (
	accessKeyIDFormat    = regexp.MustCompile(`^[!-~]{1,256}$`)
	assumedRoleARNFormat = regexp.MustCompile(`^[!-~]{1,512}$`)
	assumedRoleIDFormat  = regexp.MustCompile(`^[!-~]{1,256}$`)
)

// defaultDuration is how long STS lets a session live that is asked for without a duration.
const defaultDuration = time.Hour

// sessionOf is nil unless the answer holds a whole triple that lives on after issuedAt. Names of the session that are not
// well formed are left out, as if STS had: the triple works without. asked is the duration that was asked for; 0 is STS's
// default.
func sessionOf(body *sdk.AssumeRoleResponseBody, issuedAt time.Time, asked time.Duration) *Session {
	if body == nil || body.Credentials == nil {
		return nil
	}
	expiresAt, err := time.Parse(time.RFC3339, ptr.Deref(body.Credentials.Expiration, ""))
	if err != nil || !expiresAt.After(issuedAt) {
		return nil
	}
	if expiresAt.Sub(issuedAt) > MaxLifetime {
		// No session lives that long. The triple works all the same, and for as long as was asked for: to refuse the answer
		// would leave nothing that works, and to believe it would renew too late.
		expiresAt = issuedAt.Add(cmp.Or(asked, defaultDuration))
	}
	s := &Session{
		AccessKeyID:     ptr.Deref(body.Credentials.AccessKeyId, ""),
		AccessKeySecret: ptr.Deref(body.Credentials.AccessKeySecret, ""),
		SecurityToken:   ptr.Deref(body.Credentials.SecurityToken, ""),
		IssuedAt:        issuedAt.UTC(),
		ExpiresAt:       expiresAt.UTC(),
		RequestID:       wellFormed(ptr.Deref(body.RequestId, ""), requestIDFormat),
	}
	keys := Keys{AccessKeyID: s.AccessKeyID, AccessKeySecret: s.AccessKeySecret, SecurityToken: s.SecurityToken}
	if !keys.wellFormed() || keys.SecurityToken == "" || !accessKeyIDFormat.MatchString(s.AccessKeyID) {
		return nil
	}
	if user := body.AssumedRoleUser; user != nil {
		s.AssumedRoleARN = wellFormed(ptr.Deref(user.Arn, ""), assumedRoleARNFormat)
		s.AssumedRoleID = wellFormed(ptr.Deref(user.AssumedRoleId, ""), assumedRoleIDFormat)
	}
	return s
}

// Caller is who STS says signed a request.
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

// GetCallerIdentity asks who keys are; any valid keys may. The error is an *Error.
func (c *Client) GetCallerIdentity(ctx context.Context, keys Keys) (_ Caller, err error) {
	const action = ActionGetCallerIdentity
	defer c.ended(action, c.clock.Now(), &err)
	var response *sdk.GetCallerIdentityResponse
	_, err = c.call(ctx, action, names{}, keys, func(client *sdk.Client) (err error) {
		response, err = client.GetCallerIdentityWithOptions(&dara.RuntimeOptions{})
		return err
	})
	if err != nil {
		return Caller{}, err
	}
	body := response.Body
	if body == nil || ptr.Deref(body.AccountId, "") == "" || ptr.Deref(body.Arn, "") == "" {
		return Caller{}, failure(action, names{}, partial, nil)
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
