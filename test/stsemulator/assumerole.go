// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stsemulator

import (
	"fmt"
	"time"
)

// expirationLayout is how STS writes times: UTC, whole seconds.
const expirationLayout = "2006-01-02T15:04:05Z"

// assumedRoleUser names the session in an answer.
type assumedRoleUser struct {
	Arn           string
	AssumedRoleID string `json:"AssumedRoleId"`
}

// credentials is the issued triple with its end.
type credentials struct {
	AccessKeyID     string `json:"AccessKeyId,omitempty"`
	AccessKeySecret string `json:",omitempty"`
	SecurityToken   string `json:",omitempty"`
	Expiration      string `json:",omitempty"`
}

// assumeRoleAnswer is the body of a successful AssumeRole or AssumeRoleWithOIDC.
type assumeRoleAnswer struct {
	RequestID       string `json:"RequestId"`
	AssumedRoleUser assumedRoleUser
	Credentials     *credentials   `json:",omitempty"`
	SourceIdentity  string         `json:",omitempty"`
	OIDCTokenInfo   *oidcTokenInfo `json:",omitempty"`
}

// assumeRole answers AssumeRole.
func (e *Emulator) assumeRole(req *request, caller identity) (any, *apiError) {
	session, failure := readSession(req)
	if failure != nil {
		return nil, failure
	}
	if caller.kind == "Account" {
		return nil, newError("NoPermission").withMessage(messageRootAccount)
	}
	role, failure := e.roleFor(session)
	if failure != nil {
		return nil, failure
	}
	facts := map[string][]string{
		"sts:ExternalId":     {session.externalID},
		"sts:SourceIdentity": {session.sourceIdentity},
	}
	if !role.trustsRAM(caller, facts) {
		return nil, newError("NoPermission")
	}
	return e.issue(req, session), nil
}

// roleFor finds the role that a session is for and checks the duration against it.
func (e *Emulator) roleFor(session session) (Role, *apiError) {
	role, known := e.directory.role(session.roleARN)
	if !known {
		return Role{}, newError("EntityNotExist.Role")
	}
	longest := role.MaxSessionDuration
	if longest == 0 {
		longest = time.Hour
	}
	if session.duration < minDuration || session.duration > longest {
		return Role{}, durationError(longest)
	}
	return role, nil
}

// durationError words the bounds as STS does, with the role's own maximum.
func durationError(longest time.Duration) *apiError {
	message := fmt.Sprintf("The Min/Max value of DurationSeconds is 15min/%ghr.", longest.Hours())
	return newError("InvalidParameter.DurationSeconds").withMessage(message)
}

// issue makes the triple. A fault may shorten its life or damage the answer, never what the triple is good for.
func (e *Emulator) issue(req *request, session session) assumeRoleAnswer {
	lifetime := session.duration
	if req.effects.lifetime > 0 {
		lifetime = min(lifetime, req.effects.lifetime)
	}
	expires := req.now.Add(lifetime).UTC().Truncate(time.Second)
	claims := tokenClaims{
		AccessKeyID: temporaryKeyPrefix + "N" + randomText(24),
		RoleARN:     session.roleARN,
		SessionName: session.name,
		Expires:     expires.Unix(),
	}
	answer := assumeRoleAnswer{
		RequestID: req.id,
		AssumedRoleUser: assumedRoleUser{
			Arn:           session.roleARN + "/" + session.name,
			AssumedRoleID: claims.identity().principalID,
		},
		Credentials: &credentials{
			AccessKeyID:     claims.AccessKeyID,
			AccessKeySecret: e.tokens.secret(claims.AccessKeyID),
			SecurityToken:   e.tokens.seal(claims),
			Expiration:      expires.Format(expirationLayout),
		},
		SourceIdentity: session.sourceIdentity,
	}
	req.effects.damage(&answer)
	return answer
}
