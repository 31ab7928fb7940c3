// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stsemulator

// callerIdentityAnswer is the body of a GetCallerIdentity; UserId and RoleId exclude each other.
type callerIdentityAnswer struct {
	RequestID    string `json:"RequestId"`
	AccountID    string `json:"AccountId"`
	Arn          string
	IdentityType string
	PrincipalID  string `json:"PrincipalId"`
	UserID       string `json:"UserId,omitempty"`
	RoleID       string `json:"RoleId,omitempty"`
}

// getCallerIdentity answers GetCallerIdentity, which everybody may call.
func (e *Emulator) getCallerIdentity(req *request, caller identity) (any, *apiError) {
	return callerIdentityAnswer{
		RequestID:    req.id,
		AccountID:    caller.account,
		Arn:          caller.arn,
		IdentityType: caller.kind,
		PrincipalID:  caller.principalID,
		UserID:       caller.userID,
		RoleID:       caller.roleID,
	}, nil
}
