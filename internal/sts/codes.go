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
		"spec.duration{duration} exceeds MaxSessionDuration of role {role}. Lower spec.duration, or raise MaxSessionDuration in RAM"},
	{"InvalidParameter.PolicyGrammar", Invalid, ReasonInvalidSpec,
		"STS does not accept {policy}: correct it by RAM's policy grammar; names of elements and condition operators are case-sensitive and every value is a string"},
	{"InvalidParameter.PolicySize", Invalid, ReasonInvalidSpec,
		"{policy} is too long: shorten it to 2048 characters of compact JSON"},
	{"InvalidParameter.RoleArn", Invalid, ReasonInvalidSpec,
		"the role's ARN is wrongly formed: {role} was sent. Write acs:ram::<account id>:role/<role name>"},
	{"InvalidParameter.RoleSessionName", Invalid, ReasonInvalidSpec,
		"the session name is wrongly formed: {session} was sent. Write 2 to 64 of A-Z a-z 0-9 . @ _ - in spec.sessionName"},
	{"InvalidParameter.ExternalId", Invalid, ReasonInvalidSpec,
		"the external id in spec.externalID is wrongly formed: write 2 to 1224 of A-Z a-z 0-9 _ + = , . @ : / -"},
	{"InvalidParameter.SourceIdentity", Invalid, ReasonInvalidSpec,
		"the source identity in spec.sourceIdentity is wrongly formed: write 2 to 64 of A-Z a-z 0-9 _ + = , . @ -"},
	{"InvalidParameter.OIDCProviderArn", Refused, ReasonIdentityUnavailable,
		"the OIDC provider's ARN is wrongly formed: {provider} was sent. Write acs:ram::<account id>:oidc-provider/<name>"},
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
		"STS has received this request before: the operator retries. If it persists, check whether a proxy repeats requests"},

	{"MissingSecurityToken", Refused, ReasonIdentityUnavailable, missingToken},
	{"InvalidSecurityToken*", StaleIdentity, ReasonIdentityUnavailable,
		"STS does not accept the token that the call was signed with (any more): it is fetched anew; if this stays, check where the identity comes from"},
	{"InvalidAccessKeyId.Inactive", StaleIdentity, ReasonIdentityUnavailable,
		"the AccessKey that the call was signed with is disabled: enable it in RAM, or give another one"},
	{"InvalidAccessKeyId*", StaleIdentity, ReasonIdentityUnavailable,
		"STS does not know the AccessKey that the call was signed with: check whether it was deleted in RAM, or give another one"},

	{"Throttling*", Throttled, ReasonThrottled,
		"STS limits the account's calls: the operator retries. If it persists, lower --sts-qps or ask Alibaba Cloud for a higher quota"},
	{"InternalError", Transient, ReasonSTSUnavailable, unavailable},
	{"InternalServerError", Transient, ReasonSTSUnavailable, unavailable},
	{"ServiceUnavailable*", Transient, ReasonSTSUnavailable, unavailable},
}

// Next steps that several codes have.
const (
	noTrust     = "add this statement to the trust policy of {role}, and check that {provider} exists: {trust-subject}"
	unavailable = "STS returned an internal error; the operator retries. If it persists, contact Alibaba Cloud support with RequestId {request-id}"
	// missingToken: the AccessKey ID itself is not shown, and who reads this knows which source it is.
	missingToken = "the call was signed with a temporary AccessKey ID (STS.…) without its security token. " +
		"Set ALIBABA_CLOUD_SECURITY_TOKEN to the token that was issued with it, or use the AccessKey of a RAM user"
)

// Meanings that only the Message tells apart from the table's: what every key of the
// main account meets, and a provider that RAM does not know.
var (
	rootAccount = rule{"NoPermission", Refused, ReasonRoleRefused,
		"the main account's own AccessKey cannot assume roles: use a RAM user's. Create a RAM user with OpenAPI access, attach AliyunSTSAssumeRoleAccess to it, let {role} trust it, and give its AccessKey instead"}
	noProvider = rule{"AuthenticationFail.NoPermission", Refused, ReasonRoleRefused,
		"{provider} is not registered in RAM: create it (SSO management, OIDC, with the cluster's issuer URL{issuer} and the client id sts.aliyuncs.com), or correct its ARN"}
)

// Codes that the table does not know. Only an HTTP status of 4xx says clearly that the request is at fault.
var (
	unknownServer = rule{"", Transient, ReasonSTSUnavailable, unavailable}
	unknownAnswer = rule{"", Transient, ReasonSTSUnavailable,
		"STS answered with a code that this version does not know; the operator retries. If it persists, look the code up in STS's list of error codes"}
	unknownClient = rule{"", Refused, ReasonRoleRefused,
		"STS refused, with a code that this version does not know: look it up in STS's list of error codes, or contact Alibaba Cloud support with RequestId {request-id}"}
)

// ruleFor finds the row of a code. The status, 0 where it is not known, decides only about codes that the table does not
// know, and the message only between the meanings of one code.
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
	switch {
	case status >= http.StatusInternalServerError:
		return unknownServer
	case status >= http.StatusBadRequest:
		return unknownClient
	default:
		return unknownAnswer
	}
}

func (r rule) matches(code string) bool {
	if prefix, ok := strings.CutSuffix(r.code, "*"); ok {
		return strings.HasPrefix(code, prefix)
	}
	return code == r.code
}

// names are those that a next step is filled in with.
type names struct {
	caller    string // a principal's ARN
	role      string // its ARN
	session   string // RoleSessionName as it was sent
	duration  time.Duration
	requestID string
	endpoint  string // see Client.Where
	subject   Subject
	origin    Origin
}

// nextStep fills the names in; what is unknown is paraphrased.
func (r rule) nextStep(n names) string {
	return strings.NewReplacer(
		"{caller}", cmp.Or(n.caller, "the identity that asks"),
		"of role {role}", "of "+cmp.Or(prefixed("role ", n.role), "the role"),
		"{role}", cmp.Or(n.role, "the role"),
		"{session}", sessionInWords(n),
		"{duration}", durationInWords(n.duration),
		"{policy}", cmp.Or(n.origin.Policy, "spec.policy"),
		"{request-id}", cmp.Or(n.requestID, "of the call"),
		"{endpoint}", cmp.Or(n.endpoint, "the endpoint"),
		"{issuer}", issuerInWords(n.subject),
		"{provider}", cmp.Or(n.subject.ProviderARN, "the OIDC provider"),
		"{trust-caller}", trustCaller(n.caller),
		"{attach-policy}", attachPolicy(n.caller),
		"{trust-subject}", trustSubject(n.subject),
	).Replace(r.next)
}

func prefixed(prefix, s string) string {
	if s == "" {
		return ""
	}
	return prefix + s
}

// sessionInWords is the session name that was sent, and where it came from.
func sessionInWords(n names) string {
	name := "an unknown name"
	if n.session != "" {
		name = fmt.Sprintf("%.64q", n.session)
	}
	if n.origin.DefaultSession {
		name += ", the default made of cluster name, namespace and name,"
	}
	return name
}

// durationInWords stands behind "spec.duration".
func durationInWords(d time.Duration) string {
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
