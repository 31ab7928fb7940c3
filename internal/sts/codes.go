// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package sts

import (
	"cmp"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// errorClass is what an error code means.
type errorClass struct {
	// code is STS's, or a prefix of it if it ends in '*'; without a response of STS it is a result, or empty.
	code   string
	class  Class
	reason string
	// message is the cause and the next step, with placeholders for messageValues.
	message string
}

// errorClasses are the known codes: the first that matches applies. They are the codes of STS's error reference
// (https://api.aliyun.com/document/Sts/2015-04-01/errorCode) and of the gateway in front of it, whose HTTP statuses vary, so
// that only the code is used.
var errorClasses = []errorClass{
	{"InvalidParameter.DurationSeconds", Refused, ReasonRoleRefused,
		"spec.duration{duration} exceeds MaxSessionDuration of role {role}. Lower spec.duration, or raise MaxSessionDuration in RAM"},
	{"InvalidParameter.PolicyGrammar", Invalid, ReasonInvalidSpec,
		"STS rejects the grammar of {policy}. Correct it: names of elements and condition operators are case-sensitive, and every value is a string"},
	{"InvalidParameter.PolicySize", Invalid, ReasonInvalidSpec,
		"{policy} is too long. Shorten it to 2048 characters of compact JSON"},
	{"InvalidParameter.RoleArn", Invalid, ReasonInvalidSpec,
		"the role ARN {role} is malformed. Write acs:ram::<account ID>:role/<role name> in spec.roleARN"},
	{"InvalidParameter.RoleSessionName", Invalid, ReasonInvalidSpec,
		"the session name {session} is malformed. Write 2 to 64 of A-Z a-z 0-9 . @ _ - in spec.sessionName"},
	{"InvalidParameter.ExternalId", Invalid, ReasonInvalidSpec,
		"spec.externalID is malformed. Write 2 to 1224 of A-Z a-z 0-9 _ + = , . @ : / -"},
	{"InvalidParameter.SourceIdentity", Invalid, ReasonInvalidSpec,
		"spec.sourceIdentity is malformed. Write 2 to 64 of A-Z a-z 0-9 _ + = , . @ -"},
	{"InvalidParameter.OIDCProviderArn", Refused, ReasonIdentityUnavailable,
		"the ARN {provider} of the OIDC provider is malformed. Write acs:ram::<account ID>:oidc-provider/<name>"},
	{"InvalidParameter.OIDCToken", Refused, ReasonIdentityUnavailable,
		"STS cannot read the ServiceAccount's token. Check that the cluster's issuer signs JSON Web Tokens with keys that RAM supports"},
	{"InvalidParameter*", Invalid, ReasonInvalidSpec,
		"STS rejects a parameter of the request. Correct in the spec the parameter that the code names"},

	{"NoPermission", Refused, ReasonRoleRefused,
		"permission is missing; STS does not report which of three causes applies. " +
			"(1) Add {caller} to the trust policy of {role}, with the statement {trust-caller}; an external ID that the policy requires must match. " +
			"(2) Attach AliyunSTSAssumeRoleAccess to the caller: {attach-policy}. " +
			"(3) Use the AccessKey of a RAM user, not the main account's"},
	{"EntityNotExist.Role", Refused, ReasonRoleRefused,
		"role {role} does not exist. Create it, or correct spec.roleARN"},
	{"AuthenticationFail.OIDCToken.Expired", StaleIdentity, ReasonIdentityUnavailable,
		"the ServiceAccount's token has expired; the operator retries with a new token. If it persists, correct the clocks"},
	{"AuthenticationFail.OIDCToken.AudienceNotMatch", Refused, ReasonRoleRefused,
		"the audience sts.aliyuncs.com is not accepted. Add it to the client IDs of {provider} and to the trust policy of {role}, with the statement {trust-subject}"},
	{"AuthenticationFail.OIDCToken*", Refused, ReasonRoleRefused,
		"{provider} does not accept this cluster's tokens. Check its ARN, the issuer URL{issuer} and fingerprint that are registered in RAM, and that the issuer's keys are published"},
	{"AuthenticationFail.NoPermission", Refused, ReasonRoleRefused, noTrust},
	{"AuthenticationFail*", Refused, ReasonRoleRefused, noTrust},

	{"SignatureDoesNotMatch", Refused, ReasonIdentityUnavailable,
		"the AccessKey secret does not belong to the AccessKey ID. Correct it in the Secret or setting that holds it"},
	{"IncompleteSignature", Refused, ReasonIdentityUnavailable,
		"STS cannot read the request's signature. Check that no proxy rewrites requests, and that the AccessKey holds no stray characters"},
	{"InvalidTimeStamp*", Refused, ReasonIdentityUnavailable,
		"the clock of the operator's node differs from STS's by more than 15 minutes. Correct it (NTP)"},
	{"SignatureNonceUsed", Transient, ReasonSTSUnavailable,
		"STS has received this request before; the operator retries. If it persists, check whether a proxy repeats requests"},

	{"MissingSecurityToken", Refused, ReasonIdentityUnavailable, noSecurityToken},
	{"InvalidSecurityToken*", StaleIdentity, ReasonIdentityUnavailable,
		"STS rejects the security token of the credentials that signed the call; the operator fetches new ones. If it persists, check the source of the identity"},
	{"InvalidAccessKeyId.Inactive", StaleIdentity, ReasonIdentityUnavailable,
		"the AccessKey that signed the call is disabled. Enable it in RAM, or use another AccessKey"},
	{"InvalidAccessKeyId*", StaleIdentity, ReasonIdentityUnavailable,
		"STS does not know the AccessKey that signed the call. Check whether it was deleted in RAM, or use another AccessKey"},

	{"Throttling*", Throttled, ReasonThrottled,
		"STS throttles the account's calls; the operator retries. If it persists, lower --sts-qps or request a higher quota from Alibaba Cloud"},
	{"InternalError", Transient, ReasonSTSUnavailable, internalError},
	{"InternalServerError", Transient, ReasonSTSUnavailable, internalError},
	{"ServiceUnavailable*", Transient, ReasonSTSUnavailable, internalError},
}

// Messages of several codes.
const (
	noTrust       = "the trust policy of {role} does not allow the ServiceAccount. Check that {provider} exists, and add the statement {trust-subject}"
	internalError = "STS returned an internal error; the operator retries. If it persists, contact Alibaba Cloud support with RequestId {request-id}"
	// noSecurityToken does not show the AccessKey ID.
	noSecurityToken = "the call was signed with a temporary AccessKey ID (STS.…) without its security token. " +
		"Set ALIBABA_CLOUD_SECURITY_TOKEN to the token that was issued with it, or use the AccessKey of a RAM user"
)

// Classes that share a code with another class: STS's Message decides.
var (
	rootAccount = errorClass{"NoPermission", Refused, ReasonRoleRefused,
		"the main account's own AccessKey cannot assume roles. Use a RAM user's: create a RAM user with OpenAPI access, attach AliyunSTSAssumeRoleAccess to it, and add it to the trust policy of {role}"}
	noProvider = errorClass{"AuthenticationFail.NoPermission", Refused, ReasonRoleRefused,
		"{provider} is not registered in RAM. Create it (SSO management, OIDC, with the cluster's issuer URL{issuer} and the client ID sts.aliyuncs.com), or correct its ARN"}
)

// Classes of unknown codes. Only an HTTP status of 4xx is a clear client error.
var (
	unknownServerError = errorClass{"", Transient, ReasonSTSUnavailable, internalError}
	unknownCode        = errorClass{"", Transient, ReasonSTSUnavailable,
		"STS returned a code that this version does not know; the operator retries. If it persists, look the code up in STS's list of error codes"}
	unknownClientError = errorClass{"", Refused, ReasonRoleRefused,
		"STS refused the request with a code that this version does not know. Look it up in STS's list of error codes, or contact Alibaba Cloud support with RequestId {request-id}"}
)

// classify returns the class of a code. The HTTP status, 0 if unknown, decides only for unknown codes, and the message only
// between classes that share a code.
func classify(code string, status int, message string) errorClass {
	switch {
	case code == rootAccount.code && strings.Contains(message, "root account"):
		return rootAccount
	case code == noProvider.code && strings.Contains(message, "OIDC Provider"):
		return noProvider
	}
	for _, c := range errorClasses {
		if c.matches(code) {
			return c
		}
	}
	switch {
	case status >= http.StatusInternalServerError:
		return unknownServerError
	case status >= http.StatusBadRequest:
		return unknownClientError
	default:
		return unknownCode
	}
}

// KnownCode is an error code that is classified.
type KnownCode struct {
	// Code is STS's, or a prefix of several codes if it ends in '*'.
	Code  string
	Class Class
	// Reason is the condition reason.
	Reason string
}

// KnownCodes returns the known codes. If several match a code, the first applies.
func KnownCodes() []KnownCode {
	all := make([]KnownCode, len(errorClasses))
	for i, c := range errorClasses {
		all[i] = KnownCode{Code: c.code, Class: c.class, Reason: c.reason}
	}
	return all
}

func (c errorClass) matches(code string) bool {
	if prefix, ok := strings.CutSuffix(c.code, "*"); ok {
		return strings.HasPrefix(code, prefix)
	}
	return code == c.code
}

// messageValues replace the placeholders of a message.
type messageValues struct {
	caller    string // a principal's ARN
	role      string // its ARN
	session   string // RoleSessionName as it was sent
	duration  time.Duration
	requestID string
	endpoint  string // see Client.EndpointDescription
	subject   Subject
	origin    Origin
}

// format returns the message with v. Unknown values are paraphrased.
func (c errorClass) format(v messageValues) string {
	return strings.NewReplacer(
		"{caller}", cmp.Or(v.caller, "the caller"),
		"of role {role}", "of "+cmp.Or(prefixed("role ", v.role), "the role"),
		"role {role}", cmp.Or(prefixed("role ", v.role), "the role"),
		"{role}", cmp.Or(v.role, "the role"),
		"{session}", formatSession(v),
		"{duration}", formatDuration(v.duration),
		"{policy}", cmp.Or(v.origin.Policy, "spec.policy"),
		"{request-id}", cmp.Or(v.requestID, "of the call"),
		"{endpoint}", cmp.Or(v.endpoint, "the endpoint"),
		"{issuer}", formatIssuer(v.subject),
		"{provider}", cmp.Or(v.subject.ProviderARN, "the OIDC provider"),
		"{trust-caller}", trustCaller(v.caller),
		"{attach-policy}", attachPolicy(v.caller),
		"{trust-subject}", trustSubject(v.subject),
	).Replace(c.message)
}

func prefixed(prefix, s string) string {
	if s == "" {
		return ""
	}
	return prefix + s
}

// formatSession returns the session name that was sent, and whether it is the default.
func formatSession(v messageValues) string {
	if v.session == "" {
		return "of the request"
	}
	name := fmt.Sprintf("%.64q", v.session)
	if v.origin.DefaultSession {
		name += " (the default: cluster name, namespace and name)"
	}
	return name
}

// formatDuration returns what follows "spec.duration".
func formatDuration(d time.Duration) string {
	if d == 0 {
		return ""
	}
	short := d.String()
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(short, zero) {
			short = short[:len(short)-2]
		}
	}
	return " (" + short + ")"
}

// trustCaller returns the statement of a trust policy that allows the caller.
func trustCaller(arn string) string {
	return `{"Effect":"Allow","Action":"sts:AssumeRole","Principal":{"RAM":["` +
		cmp.Or(arn, "acs:ram::<account ID>:user/<user name>") + `"]}}`
}

// attachPolicy returns the command that allows the caller to assume roles.
func attachPolicy(arn string) string {
	const policy = " --PolicyType System --PolicyName AliyunSTSAssumeRoleAccess "
	if _, role, ok := strings.Cut(arn, ":role/"); ok {
		return "aliyun ram AttachPolicyToRole" + policy + "--RoleName " + role
	}
	_, user, _ := strings.Cut(arn, ":user/")
	return "aliyun ram AttachPolicyToUser" + policy + "--UserName " + cmp.Or(user, "<user name>")
}

// formatIssuer returns what follows "the issuer URL".
func formatIssuer(s Subject) string {
	if s.Issuer == "" {
		return ""
	}
	return " (" + s.Issuer + " in the tokens)"
}

// trustSubject returns the statement of a trust policy that allows the subject.
func trustSubject(s Subject) string {
	return `{"Effect":"Allow","Action":"sts:AssumeRole","Principal":{"Federated":["` +
		cmp.Or(s.ProviderARN, "<OIDC provider's ARN>") + `"]},"Condition":{"StringEquals":{"oidc:iss":"` +
		cmp.Or(s.Issuer, "<issuer URL>") + `","oidc:aud":"sts.aliyuncs.com","oidc:sub":"` +
		cmp.Or(s.Name, "system:serviceaccount:<namespace>:<name>") + `"}}}`
}
