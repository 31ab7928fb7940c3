// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package explain

import "github.com/stscredential/sts-credential-operator/internal/sts"

// Sections of the documentation that several entries name.
const (
	codesPage      = documentation + "troubleshooting.md#sts-error-codes"
	permissionPage = documentation + "troubleshooting.md#you-are-not-authorized-to-do-this-action-you-should-be-authorized-by-ram"
	policyPage     = documentation + "troubleshooting.md#the-parameter-policy-has-not-passed-grammar-check"
	durationPage   = documentation + "troubleshooting.md#the-minmax-value-of-durationseconds-is-15min1hr"
	oidcPage       = documentation + "identity.md#with-a-serviceaccount"
	ramUserPage    = documentation + "identity.md#with-a-ram-user"
	keyPage        = documentation + "identity.md#with-an-accesskey-of-the-namespace"
	sourcesPage    = documentation + "identity.md#sources"
	budgetPage     = documentation + "budget.md"
)

// Steps of several codes.
const (
	printTrustPolicy = "Print the statement for the trust policy: kubectl stscred trust-policy NAME."
	correctSpec      = "Correct the field, for example with kubectl edit stscredential NAME."
	waitForRetry     = "Wait: the operator retries after a second, growing to a minute."
	checkNodeClock   = "Correct the clock of the operator's node (NTP)."
	newCredentials   = "Wait: the operator gets new credentials and retries. If it persists, check the source of the identity."
)

// codes are the error codes of STS that internal/sts classifies, in its order.
var codes = withReasons([]Entry{
	{
		Name: "InvalidParameter.DurationSeconds", Texts: []string{"The Min/Max value of DurationSeconds is 15min/1hr."},
		Meaning: "spec.duration exceeds the maximum session duration of the role.",
		Causes:  []string{"The role has the default maximum of one hour, and spec.duration is longer."},
		Steps: []string{
			"Lower spec.duration.",
			"Or raise the maximum in RAM, up to 12 hours: aliyun ram UpdateRole --RoleName ROLE --NewMaxSessionDuration SECONDS.",
		},
		Docs: durationPage,
	},
	{
		Name: "InvalidParameter.PolicyGrammar", Texts: []string{"The parameter Policy has not passed grammar check."},
		Meaning: "STS rejects the grammar of the session policy.",
		Causes: []string{
			"A condition operator does not exist, or is written in another case.",
			"A value is not a string: quote numbers and booleans.",
			"A Condition is incomplete.",
		},
		Steps: []string{"Correct spec.policy, or the policy of the StsRoleGrant that status.grantName names."}, Docs: policyPage,
	},
	{
		Name: "InvalidParameter.PolicySize", Texts: []string{"The size of Policy must be smaller than 2048 bytes."},
		Meaning: "The session policy is too long.", Causes: []string{"The policy has more than 2048 characters in compact form."},
		Steps: []string{"Shorten the policy, for example with '*' in actions and resources."}, Docs: policyPage,
	},
	{
		Name: "InvalidParameter.RoleArn", Texts: []string{"The parameter RoleArn is wrongly formed."},
		Meaning: "spec.roleARN is malformed.", Causes: []string{"The account ID or the name of the role is mistyped."},
		Steps: []string{"Copy the ARN of the role from the RAM console: acs:ram::<account ID>:role/<role name>."}, Docs: codesPage,
	},
	{
		Name: "InvalidParameter.RoleSessionName", Texts: []string{"The parameter RoleSessionName is wrongly formed."},
		Meaning: "The session name is malformed.", Causes: []string{"spec.sessionName has characters that STS does not accept."},
		Steps: []string{"Write 2 to 64 of A-Z a-z 0-9 . @ _ - in spec.sessionName, or remove the field."}, Docs: codesPage,
	},
	{
		Name: "InvalidParameter.ExternalId", Texts: []string{"The parameter ExternalId is wrongly formed."},
		Meaning: "spec.externalID is malformed.", Causes: []string{"spec.externalID has characters that STS does not accept."},
		Steps: []string{"Write 2 to 1224 of A-Z a-z 0-9 _ + = , . @ : / - in spec.externalID."}, Docs: codesPage,
	},
	{
		Name: "InvalidParameter.SourceIdentity", Texts: []string{"The parameter SourceIdentity is wrongly formed."},
		Meaning: "spec.sourceIdentity is malformed.", Causes: []string{"spec.sourceIdentity has characters that STS does not accept, or a reserved prefix."},
		Steps: []string{"Write 2 to 64 of A-Z a-z 0-9 _ + = , . @ - in spec.sourceIdentity, not starting with acs:, aliyun: or alibabacloud:."}, Docs: codesPage,
	},
	{
		Name: "InvalidParameter.OIDCProviderArn", Texts: []string{"The parameter OIDCProviderArn is wrongly formed."},
		Meaning: "The ARN of the OIDC provider is malformed.", Causes: []string{"oidcProviderARN, or the operator's --oidc-provider-arn, is mistyped."},
		Steps: []string{"Write acs:ram::<account ID>:oidc-provider/<name> in spec.identity.serviceAccount.oidcProviderARN or --oidc-provider-arn."}, Docs: oidcPage,
	},
	{
		Name: "InvalidParameter.OIDCToken", Texts: []string{"The parameter OIDCToken is wrongly formed."},
		Meaning: "STS cannot read the ServiceAccount's token.", Causes: []string{"The cluster's issuer signs tokens with a kind of key that RAM does not support."},
		Steps: []string{"Check the keys of the issuer: kubectl get --raw /openid/v1/jwks."}, Docs: oidcPage,
	},
	{
		Name: "InvalidParameter*", Texts: []string{"The specified parameter is not valid."},
		Meaning: "STS rejects a parameter of the request.", Causes: []string{"The field of the spec that the code names has a value that STS does not accept."},
		Steps: []string{correctSpec}, Docs: codesPage,
	},
	{
		Name: "NoPermission", Texts: []string{
			"You are not authorized to do this action. You should be authorized by RAM.",
			"No permission perform sts:AssumeRole on this Role. Maybe you are not authorized to perform sts:AssumeRole or the specified role does not trust you",
			"Roles may not be assumed by root accounts.",
		},
		Meaning: "Permission is missing. STS does not report which of three causes applies.",
		Causes: []string{
			"The trust policy of the role does not name the caller, or requires an external ID that spec.externalID does not have.",
			"The caller may not call sts:AssumeRole: neither AliyunSTSAssumeRoleAccess nor a custom policy allows the role.",
			"The caller is the Alibaba Cloud account itself, whose AccessKey cannot assume roles.",
		},
		Steps: []string{
			"Add the caller to the trust policy of the role: kubectl stscred trust-policy NAME prints the policy.",
			"Allow the caller to assume roles: aliyun ram AttachPolicyToUser --PolicyType System --PolicyName AliyunSTSAssumeRoleAccess --UserName USER.",
			"Use the AccessKey of a RAM user, or a RAM role, not that of the account.",
			"If another StsCredential with the same caller is ready, the second and third cause do not apply, unless a custom policy names single roles.",
		},
		Docs: permissionPage,
	},
	{
		Name: "EntityNotExist.Role", Texts: []string{"The specified Role not exists ."},
		Meaning: "The role does not exist.", Causes: []string{
			"spec.roleARN is mistyped: the account ID, the name, or its upper and lower case.",
			"The role was deleted, or was never created.",
		},
		Steps: []string{
			"Correct spec.roleARN.",
			"Or create the role: aliyun ram CreateRole --RoleName ROLE --AssumeRolePolicyDocument \"$(kubectl stscred trust-policy NAME)\".",
		},
		Docs: ramUserPage,
	},
	{
		Name: "AuthenticationFail.OIDCToken.Expired", Texts: []string{"This JsonWebToken is expired."},
		Meaning: "The ServiceAccount's token has expired.", Causes: []string{"The clock of the API server is wrong by minutes."},
		Steps: []string{"Wait: the operator retries with a new token.", "If it persists, correct the clock of the API server (NTP)."}, Docs: oidcPage,
	},
	{
		Name: "AuthenticationFail.OIDCToken.AudienceNotMatch", Texts: []string{"Invalid audience."},
		Meaning: "The OIDC provider does not accept the audience sts.aliyuncs.com.", Causes: []string{
			"The OIDC provider in RAM does not have the client ID sts.aliyuncs.com.",
			"The trust policy of the role requires another oidc:aud.",
		},
		Steps: []string{"Add the client ID sts.aliyuncs.com to the OIDC provider in RAM.", printTrustPolicy}, Docs: oidcPage,
	},
	{
		Name: "AuthenticationFail.OIDCToken*", Texts: []string{"OIDC token validate failed: invalid signature.", "OIDC token is invalid."},
		Meaning: "The OIDC provider in RAM does not accept this cluster's tokens.", Causes: []string{
			"The ARN is that of another cluster's provider.",
			"The issuer URL in RAM is not the cluster's.",
			"The keys at the issuer URL are not published, or not the current ones.",
			"The certificate of the issuer URL was replaced, and its fingerprint in RAM was not.",
		},
		Steps: []string{
			"Compare the issuer in RAM with the cluster's: kubectl get --raw /.well-known/openid-configuration.",
			"Compare the published keys with the cluster's: kubectl get --raw /openid/v1/jwks.",
			"Update the fingerprint of the provider in RAM.",
		},
		Docs: oidcPage,
	},
	{
		Name: "AuthenticationFail.NoPermission", Texts: []string{"There is no permission", "No such OIDC Provider registered."},
		Meaning: "The role does not trust the ServiceAccount, or the OIDC provider does not exist.", Causes: []string{
			"The trust policy of the role does not have the ServiceAccount's subject (oidc:sub), the audience or the issuer.",
			"The OIDC provider is not registered in RAM, or its ARN is mistyped.",
		},
		Steps: []string{printTrustPolicy, "Check that the OIDC provider exists in RAM (SSO management, OIDC)."}, Docs: oidcPage,
	},
	{
		Name: "AuthenticationFail*", Texts: []string{"There is no permission"},
		Meaning: "The role does not trust the ServiceAccount.", Causes: []string{"The trust policy of the role does not allow the ServiceAccount."},
		Steps: []string{printTrustPolicy}, Docs: oidcPage,
	},
	{
		Name: "SignatureDoesNotMatch", Texts: []string{"Specified signature is not matched with our calculation."},
		Meaning: "The AccessKey secret does not belong to the AccessKey ID.", Causes: []string{
			"The Secret has the ID of one AccessKey and the secret of another, or a truncated secret.",
		},
		Steps: []string{"Correct the Secret that holds the AccessKey."}, Docs: keyPage,
	},
	{
		Name: "IncompleteSignature", Texts: []string{"The request signature does not conform to Aliyun standards."},
		Meaning: "STS cannot read the signature of the request.", Causes: []string{
			"A proxy rewrites requests.", "The AccessKey has stray characters, such as a line break.",
		},
		Steps: []string{"Write the Secret again without line breaks: use --from-literal.", "Exclude the STS endpoint from the proxy (NO_PROXY)."}, Docs: sourcesPage,
	},
	{
		Name: "InvalidTimeStamp*", Texts: []string{"Specified time stamp or date value is expired.", "Specified time stamp or date value is not well formatted."},
		Meaning: "The clock of the operator's node differs from STS's by more than 15 minutes.", Causes: []string{"The node has no time synchronization."},
		Steps: []string{checkNodeClock}, Docs: documentation + "runbooks/StsCredentialClockSkew.md",
	},
	{
		Name: "SignatureNonceUsed", Texts: []string{"Specified signature nonce was used already."},
		Meaning: "STS has received this request before.", Causes: []string{"A proxy repeats requests."},
		Steps: []string{waitForRetry, "If it persists, look for a proxy that repeats requests."}, Docs: codesPage,
	},
	{
		Name: "MissingSecurityToken", Texts: []string{"SecurityToken is mandatory for this action."},
		Meaning: "A temporary AccessKey (STS.…) was used without its security token.", Causes: []string{
			"ALIBABA_CLOUD_SECURITY_TOKEN is not set beside a temporary AccessKey.",
		},
		Steps: []string{"Set ALIBABA_CLOUD_SECURITY_TOKEN to the token of the same issuance, or use the AccessKey of a RAM user."}, Docs: sourcesPage,
	},
	{
		Name: "InvalidSecurityToken*", Texts: []string{
			"Specified SecurityToken is expired.", "Specified SecurityToken is malformed.", "Specified SecurityToken mismatch with the AccessKey.",
		},
		Meaning: "STS rejects the security token of the credentials that signed the call.", Causes: []string{
			"The temporary credentials of the caller have expired.",
			"AccessKey ID, secret and token are of different issuances.",
		},
		Steps: []string{newCredentials}, Docs: sourcesPage,
	},
	{
		Name: "InvalidAccessKeyId.Inactive", Texts: []string{"Specified access key is disabled."},
		Meaning: "The AccessKey of the caller is disabled.", Causes: []string{"Somebody disabled the AccessKey in RAM."},
		Steps: []string{
			"Enable it: aliyun ram UpdateAccessKey --UserName USER --UserAccessKeyId ID --Status Active.",
			"Or write another AccessKey to the Secret.",
		},
		Docs: keyPage,
	},
	{
		Name: "InvalidAccessKeyId*", Texts: []string{"Specified access key is not found."},
		Meaning: "STS does not know the AccessKey of the caller.", Causes: []string{
			"The AccessKey was deleted in RAM.",
			"The AccessKey belongs to another site, such as the international instead of the Chinese one.",
		},
		Steps: []string{"Create an AccessKey, and write it to the Secret: aliyun ram CreateAccessKey --UserName USER."}, Docs: keyPage,
	},
	{
		Name: "Throttling*", Texts: []string{
			"Request was denied due to request throttling.", "Request was denied due to user flow control.", "Request was denied due to api flow control.",
		},
		Meaning: "STS throttles the account: its clusters, users and programs together make too many calls.", Causes: []string{
			"Several clusters or programs share the account's 100 calls per second.",
			"--sts-qps is too high.",
		},
		Steps: []string{
			waitForRetry, "If it persists, lower --sts-qps in all clusters of the account.", "Or ask Alibaba Cloud for a higher quota.",
		},
		Docs: documentation + "budget.md#throttling-by-sts",
	},
	{
		Name: "InternalError", Texts: []string{"STS Server Internal Error happened, please send the RequestId to us."},
		Meaning: "STS failed.", Causes: []string{"An error at STS."},
		Steps: []string{waitForRetry, "If it persists, contact Alibaba Cloud support with the RequestId."}, Docs: codesPage,
	},
	{
		Name: "InternalServerError", Meaning: "STS failed.", Causes: []string{"An error at STS."},
		Steps: []string{waitForRetry, "If it persists, contact Alibaba Cloud support with the RequestId."}, Docs: codesPage,
	},
	{
		Name: "ServiceUnavailable*", Texts: []string{"The request has failed due to a temporary failure of the server."},
		Meaning: "STS is not available.", Causes: []string{"A temporary failure of STS."},
		Steps: []string{waitForRetry, "If it persists, contact Alibaba Cloud support with the RequestId."}, Docs: codesPage,
	},
})

// withReasons adds the kind, and the condition reason that internal/sts gives each code.
func withReasons(entries []Entry) []Entry {
	reasons := map[string]string{}
	for _, known := range sts.KnownCodes() {
		reasons[known.Code] = known.Reason
	}
	for i := range entries {
		entries[i].Kind, entries[i].Reason = KindCode, reasons[entries[i].Name]
	}
	return entries
}
