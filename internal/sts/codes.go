// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package sts

import "strings"

// rule is one row of the table: what an error code means.
type rule struct {
	// code is STS's, or a prefix of it when it ends in '*'.
	code   string
	class  Class
	reason string
	// next is the next step; {caller} and {role} stand for their ARNs.
	next string
}

// rules: the first that matches wins. The codes are those of STS's error
// reference (https://api.aliyun.com/document/Sts/2015-04-01/errorCode) and of the
// gateway before it, whose HTTP statuses vary; hence only the code counts.
var rules = []rule{
	{"InvalidParameter.DurationSeconds", Refused, ReasonRoleRefused,
		"the MaxSessionDuration of {role} is shorter than spec.duration: lower the one or raise the other"},
	{"InvalidParameter.PolicyGrammar", Invalid, ReasonInvalidSpec,
		"STS cannot read the session policy: correct it, as RAM's policy grammar has it"},
	{"InvalidParameter.PolicySize", Invalid, ReasonInvalidSpec,
		"the session policy is too long: cut it to 2048 characters of compact JSON"},
	{"InvalidParameter.RoleArn", Invalid, ReasonInvalidSpec,
		"the role's ARN is wrongly formed: write acs:ram::<account id>:role/<role name>"},
	{"InvalidParameter.RoleSessionName", Invalid, ReasonInvalidSpec,
		"the session name is wrongly formed: write 2 to 64 of A-Z a-z 0-9 . @ _ -"},
	{"InvalidParameter.ExternalId", Invalid, ReasonInvalidSpec,
		"the external id is wrongly formed: write 2 to 1224 of A-Z a-z 0-9 _ + = , . @ : / -"},
	{"InvalidParameter.SourceIdentity", Invalid, ReasonInvalidSpec,
		"the source identity is wrongly formed: write 2 to 64 of A-Z a-z 0-9 _ + = , . @ -"},
	{"InvalidParameter*", Invalid, ReasonInvalidSpec,
		"STS does not accept a value of the request, which the code names: correct it in the spec"},

	{"NoPermission", Refused, ReasonRoleRefused,
		"add {caller} to the trust policy of {role} (an external id that it asks for must match), and give {caller} leave to call sts:AssumeRole (AliyunSTSAssumeRoleAccess)"},
	{"EntityNotExist.Role", Refused, ReasonRoleRefused,
		"{role} does not exist: create it, or correct the ARN"},
	{"AuthenticationFail.OIDCToken.Expired", StaleIdentity, ReasonIdentityUnavailable,
		"the ServiceAccount's token has expired and a new one is needed; if this stays, correct the clocks"},
	{"AuthenticationFail.OIDCToken.AudienceNotMatch", Refused, ReasonRoleRefused,
		"add the audience sts.aliyuncs.com to the OIDC provider's client ids and to the trust policy of {role}"},
	{"AuthenticationFail.OIDCToken*", Refused, ReasonRoleRefused,
		"the OIDC provider in RAM does not accept this cluster's tokens: check its issuer URL and fingerprint, and the ARN of the provider"},
	{"AuthenticationFail*", Refused, ReasonRoleRefused,
		"let {role} trust the OIDC provider, this ServiceAccount (oidc:sub) and the audience sts.aliyuncs.com (oidc:aud), and check that the provider exists"},

	{"SignatureDoesNotMatch", Refused, ReasonIdentityUnavailable,
		"the AccessKey secret does not belong to its AccessKey ID: correct it where the operator or the Secret gets it from"},
	{"IncompleteSignature", Refused, ReasonIdentityUnavailable,
		"STS cannot read the request's signature: check that no proxy rewrites requests, and the AccessKey for stray characters"},
	{"InvalidTimeStamp*", Refused, ReasonIdentityUnavailable,
		"the clock of the operator's node is more than 15 minutes off STS's: correct it (NTP)"},
	{"SignatureNonceUsed", Transient, ReasonSTSUnavailable,
		"STS has seen this request before, perhaps repeated by a proxy: it is tried again by itself"},

	{"InvalidSecurityToken*", StaleIdentity, ReasonIdentityUnavailable,
		"STS does not accept the token that the call was signed with (any more): it is fetched anew; if this stays, check where the identity comes from"},
	{"InvalidAccessKeyId.Inactive", StaleIdentity, ReasonIdentityUnavailable,
		"the AccessKey that the call was signed with is disabled: enable it in RAM, or give another one"},
	{"InvalidAccessKeyId*", StaleIdentity, ReasonIdentityUnavailable,
		"STS does not know the AccessKey that the call was signed with: check whether it was deleted in RAM, or give another one"},

	{"Throttling*", Throttled, ReasonThrottled,
		"STS limits the account's calls: it is tried again by itself; if this stays, lower --sts-qps or ask Alibaba Cloud for a higher quota"},
	{"InternalError", Transient, ReasonSTSUnavailable, unavailable},
	{"ServiceUnavailable*", Transient, ReasonSTSUnavailable, unavailable},
}

const unavailable = "STS failed by itself: it is tried again by itself; if this stays, give the RequestId to Alibaba Cloud's support"

// rootAccount is NoPermission's second meaning, which only the Message tells.
var rootAccount = rule{"NoPermission", Refused, ReasonRoleRefused,
	"the main account's own AccessKey cannot assume roles: give a RAM user's AccessKey, or a role, instead"}

// Codes that the table does not know: 5xx is STS's own trouble, for the rest
// somebody must look.
var (
	unknownServer = rule{"", Transient, ReasonSTSUnavailable, unavailable}
	unknownClient = rule{"", Refused, ReasonRoleRefused,
		"STS refused, with a code that this version does not know: look it up in STS's list of error codes, or give the RequestId to Alibaba Cloud's support"}
)

// ruleFor finds the row of a code. The status decides only about codes that the
// table does not know, and the message only between the meanings of NoPermission.
func ruleFor(code string, status int, message string) rule {
	if code == rootAccount.code && strings.Contains(message, "root account") {
		return rootAccount
	}
	for _, r := range rules {
		if r.matches(code) {
			return r
		}
	}
	if status >= 500 {
		return unknownServer
	}
	return unknownClient
}

func (r rule) matches(code string) bool {
	if prefix, ok := strings.CutSuffix(r.code, "*"); ok {
		return strings.HasPrefix(code, prefix)
	}
	return code == r.code
}

// nextStep fills the ARNs in; what is unknown is paraphrased.
func (r rule) nextStep(caller, role string) string {
	if caller == "" {
		caller = "the identity that asks"
	}
	if role == "" {
		role = "the role"
	}
	return strings.NewReplacer("{caller}", caller, "{role}", role).Replace(r.next)
}
