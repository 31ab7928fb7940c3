// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package sts

import (
	"cmp"
	"strings"
)

// rule is one row of the table: what an error code means.
type rule struct {
	// code is STS's, or a prefix of it when it ends in '*'; an outcome, or empty, where STS did not answer.
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
	{"InvalidParameter.OIDCProviderArn", Refused, ReasonIdentityUnavailable,
		"the OIDC provider's ARN is wrongly formed: write acs:ram::<account id>:oidc-provider/<name>"},
	{"InvalidParameter.OIDCToken", Refused, ReasonIdentityUnavailable,
		"STS cannot read the ServiceAccount's token: check that this cluster's issuer signs JSON Web Tokens with keys that RAM takes"},
	{"InvalidParameter*", Invalid, ReasonInvalidSpec,
		"STS does not accept a value of the request, which the code names: correct it in the spec"},

	{"NoPermission", Refused, ReasonRoleRefused,
		"add {caller} to the trust policy of {role}, or give it leave to ask; STS does not tell which of these is missing: " +
			"(1) the trust policy has the statement {trust-caller}, and an external id that it asks for matches; " +
			"(2) the caller has AliyunSTSAssumeRoleAccess: {attach-policy}; " +
			"(3) the AccessKey is a RAM user's, not the main account's"},
	{"EntityNotExist.Role", Refused, ReasonRoleRefused,
		"{role} does not exist: create it, or correct the ARN"},
	{"AuthenticationFail.OIDCToken.Expired", StaleIdentity, ReasonIdentityUnavailable,
		"the ServiceAccount's token has expired and a new one is needed; if this stays, correct the clocks"},
	{"AuthenticationFail.OIDCToken.AudienceNotMatch", Refused, ReasonRoleRefused,
		"add the audience sts.aliyuncs.com to the client ids of {provider} and to the trust policy of {role}, whose statement then is {trust-subject}"},
	{"AuthenticationFail.OIDCToken*", Refused, ReasonRoleRefused,
		"{provider} does not accept this cluster's tokens: check the issuer URL{issuer} and fingerprint that are registered in RAM, that the issuer's keys are published, and the ARN"},
	{"AuthenticationFail.NoPermission", Refused, ReasonRoleRefused, noTrust},
	{"AuthenticationFail*", Refused, ReasonRoleRefused, noTrust},

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

// Next steps that several codes have.
const (
	noTrust     = "add this statement to the trust policy of {role}, and check that {provider} exists: {trust-subject}"
	unavailable = "STS failed by itself: it is tried again by itself; if this stays, give the RequestId to Alibaba Cloud's support"
)

// Meanings that only the Message tells apart from the table's: what every key of the
// main account meets, and a provider that RAM does not know.
var (
	rootAccount = rule{"NoPermission", Refused, ReasonRoleRefused,
		"the main account's own AccessKey cannot assume roles: use a RAM user's. Create a RAM user with OpenAPI access, attach AliyunSTSAssumeRoleAccess to it, let {role} trust it, and give its AccessKey instead"}
	noProvider = rule{"AuthenticationFail.NoPermission", Refused, ReasonRoleRefused,
		"{provider} is not registered in RAM: create it (SSO management, OIDC, with the cluster's issuer URL{issuer} and the client id sts.aliyuncs.com), or correct its ARN"}
)

// Codes that the table does not know: 5xx is STS's own trouble, for the rest
// somebody must look.
var (
	unknownServer = rule{"", Transient, ReasonSTSUnavailable, unavailable}
	unknownClient = rule{"", Refused, ReasonRoleRefused,
		"STS refused, with a code that this version does not know: look it up in STS's list of error codes, or give the RequestId to Alibaba Cloud's support"}
)

// ruleFor finds the row of a code. The status decides only about codes that the
// table does not know, and the message only between the meanings of one code.
func ruleFor(code string, status int, message string) rule {
	switch {
	case code == rootAccount.code && strings.Contains(message, "root account"):
		return rootAccount
	case code == noProvider.code && strings.Contains(message, "OIDC Provider"):
		return noProvider
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

// names are those that a next step is filled in with.
type names struct {
	caller  string // a principal's ARN
	role    string // its ARN
	subject Subject
}

// nextStep fills the names in; what is unknown is paraphrased.
func (r rule) nextStep(n names) string {
	return strings.NewReplacer(
		"{caller}", cmp.Or(n.caller, "the identity that asks"),
		"{role}", cmp.Or(n.role, "the role"),
		"{issuer}", issuerInWords(n.subject),
		"{provider}", cmp.Or(n.subject.ProviderARN, "the OIDC provider"),
		"{trust-caller}", trustCaller(n.caller),
		"{attach-policy}", attachPolicy(n.caller),
		"{trust-subject}", trustSubject(n.subject),
	).Replace(r.next)
}

// trustCaller is the statement of a trust policy that lets the caller in.
func trustCaller(arn string) string {
	return `{"Effect":"Allow","Action":"sts:AssumeRole","Principal":{"RAM":["` +
		cmp.Or(arn, "acs:ram::<account id>:user/<user name>") + `"]}}`
}

// attachPolicy is the command that gives the caller leave to assume roles.
func attachPolicy(arn string) string {
	const policy = " --PolicyType System --PolicyName AliyunSTSAssumeRoleAccess "
	if _, role, ok := strings.Cut(arn, ":role/"); ok {
		return "aliyun ram AttachPolicyToRole" + policy + "--RoleName " + role
	}
	_, user, _ := strings.Cut(arn, ":user/")
	return "aliyun ram AttachPolicyToUser" + policy + "--UserName " + cmp.Or(user, "<user name>")
}

// issuerInWords stands behind "the issuer URL".
func issuerInWords(s Subject) string {
	if s.Issuer == "" {
		return ""
	}
	return " (the tokens say " + s.Issuer + ")"
}

// trustSubject is the statement of a trust policy that lets the subject in.
func trustSubject(s Subject) string {
	return `{"Effect":"Allow","Action":"sts:AssumeRole","Principal":{"Federated":["` +
		cmp.Or(s.ProviderARN, "<OIDC provider's ARN>") + `"]},"Condition":{"StringEquals":{"oidc:iss":"` +
		cmp.Or(s.Issuer, "<issuer URL>") + `","oidc:aud":"sts.aliyuncs.com","oidc:sub":"` +
		cmp.Or(s.Name, "system:serviceaccount:<namespace>:<name>") + `"}}}`
}
