// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package identity

import (
	"cmp"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/aliyun/credentials-go/credentials/providers"

	"github.com/stscredential/sts-credential-operator/internal/credentials"
	"github.com/stscredential/sts-credential-operator/internal/sts"
)

// Chain says where the sources that ask STS themselves shall do so.
type Chain struct {
	// Endpoint is the host of STS, as (*sts.Client).Endpoint has it. These calls are
	// always HTTPS.
	Endpoint string
	// Where names the endpoint in errors, as (*sts.Client).Where does; empty: they do not.
	Where string
	// Region and VPC are for the profiles of config files that assume a role and
	// name no region: they cannot be told a host.
	Region string
	VPC    bool
}

// source is one place where keys can come from, in the words of an administrator.
type source struct {
	name string
	// configured tells whether somebody meant it to be used.
	configured func() bool
	// lastResort lets the next source have its turn when this one fails.
	lastResort bool
	// action is what the source asks STS for; empty if it asks somebody else.
	action string
	// subject is who asks with a token; nil if nobody does.
	subject  func() sts.Subject
	provider func(Chain) (providers.CredentialsProvider, error)
	nextStep string
	// completion says where the security token of a temporary AccessKey is given.
	completion string
}

// sources are those of Alibaba Cloud's default chain, in its order (credentials-go,
// providers.NewDefaultCredentialsProvider), but that the node's RAM role, which nobody
// configures for the operator, comes last.
var sources = []source{
	{
		name:       "environment variables",
		configured: anySet("ALIBABA_CLOUD_ACCESS_KEY_ID", "ALIBABA_CLOUD_ACCESS_KEY_SECRET"),
		provider: func(Chain) (providers.CredentialsProvider, error) {
			return providers.NewEnvironmentVariableCredentialsProviderBuilder().Build()
		},
		nextStep:   "set both ALIBABA_CLOUD_ACCESS_KEY_ID and ALIBABA_CLOUD_ACCESS_KEY_SECRET",
		completion: "set ALIBABA_CLOUD_SECURITY_TOKEN too, to the token that was issued with it, or set the AccessKey of a RAM user",
	},
	{
		name:       "RRSA",
		configured: anySet("ALIBABA_CLOUD_OIDC_PROVIDER_ARN", "ALIBABA_CLOUD_OIDC_TOKEN_FILE"),
		action:     "AssumeRoleWithOIDC",
		subject:    rrsaSubject,
		provider: func(c Chain) (providers.CredentialsProvider, error) {
			return providers.NewOIDCCredentialsProviderBuilder().
				WithSTSEndpoint(c.Endpoint).
				WithRoleSessionName(cmp.Or(os.Getenv("ALIBABA_CLOUD_ROLE_SESSION_NAME"), "sts-credential-operator")).
				Build()
		},
		nextStep: "ALIBABA_CLOUD_ROLE_ARN, ALIBABA_CLOUD_OIDC_PROVIDER_ARN and ALIBABA_CLOUD_OIDC_TOKEN_FILE must all be set and the file be readable: check that ack-pod-identity-webhook injects them",
	},
	{
		name:       "the config file of the aliyun CLI",
		configured: fileOr("ALIBABA_CLOUD_CONFIG_FILE", ".aliyun/config.json"),
		action:     "AssumeRole",
		provider: func(Chain) (providers.CredentialsProvider, error) {
			return providers.NewCLIProfileCredentialsProviderBuilder().Build()
		},
		nextStep:   "check that the file (ALIBABA_CLOUD_CONFIG_FILE) can be read, and the mode and keys of its profile (ALIBABA_CLOUD_PROFILE)",
		completion: "give the profile the mode StsToken and the token as sts_token, or the AccessKey of a RAM user. ALIBABA_CLOUD_SECURITY_TOKEN counts with the other environment variables only",
	},
	{
		name:       "the credentials file",
		configured: fileOr("ALIBABA_CLOUD_CREDENTIALS_FILE", ".alibabacloud/credentials"),
		action:     "AssumeRole",
		provider: func(Chain) (providers.CredentialsProvider, error) {
			return providers.NewProfileCredentialsProviderBuilder().Build()
		},
		nextStep:   "check that the file (ALIBABA_CLOUD_CREDENTIALS_FILE) can be read, and the type and keys of its profile (ALIBABA_CLOUD_PROFILE)",
		completion: "give the profile the AccessKey of a RAM user: the file has no place for a token, but the environment has, ALIBABA_CLOUD_SECURITY_TOKEN beside the AccessKey",
	},
	{
		name:       "the credentials URI",
		configured: anySet("ALIBABA_CLOUD_CREDENTIALS_URI"),
		provider: func(Chain) (providers.CredentialsProvider, error) {
			return providers.NewURLCredentialsProviderBuilder().Build()
		},
		nextStep:   "check that ALIBABA_CLOUD_CREDENTIALS_URI can be reached and answers with AccessKeyId, AccessKeySecret, SecurityToken and Expiration",
		completion: "let the service behind ALIBABA_CLOUD_CREDENTIALS_URI answer with SecurityToken, which in the environment is ALIBABA_CLOUD_SECURITY_TOKEN",
	},
	{
		name:       "the node's RAM role",
		configured: func() bool { return true },
		lastResort: true,
		provider: func(Chain) (providers.CredentialsProvider, error) {
			return providers.NewECSRAMRoleCredentialsProviderBuilder().Build()
		},
		nextStep: "the metadata service of ECS gives no keys: check the node's RAM role, and with HTTP_PROXY set name 100.100.100.200 in NO_PROXY",
	},
}

// nothing is the error when no source is configured and the last resort failed.
var nothing = &UnavailableError{
	Class:    sts.Refused,
	NextStep: "set up RRSA for the operator's ServiceAccount, or set ALIBABA_CLOUD_ACCESS_KEY_ID and ALIBABA_CLOUD_ACCESS_KEY_SECRET, or give the node a RAM role (with HTTP_PROXY set, name 100.100.100.200 in NO_PROXY)",
}

// NewFetch makes the default chain's Fetch. Unlike credentials-go's own chain, the
// first source that is configured decides: a failure of it does not make the
// operator sign as somebody else, such as the node.
func (c Chain) NewFetch() Fetch {
	c.export()
	var settled providers.CredentialsProvider // the one that gave keys
	var settledOn source
	return func() (credentials.Credentials, error) {
		if settled != nil {
			return settledOn.keys(c, settled)
		}
		for _, s := range sources {
			if !s.configured() {
				continue
			}
			provider, keys, err := s.open(c)
			if err == nil {
				settled, settledOn = provider, s
			}
			if err == nil || !s.lastResort {
				return keys, err
			}
		}
		return credentials.Credentials{}, nothing
	}
}

// open gets keys for the first time.
func (s source) open(c Chain) (providers.CredentialsProvider, credentials.Credentials, error) {
	provider, err := s.provider(c)
	if err != nil {
		return nil, credentials.Credentials{}, s.explain(c, err)
	}
	keys, err := s.keys(c, provider)
	return provider, keys, err
}

// export hands the region on to profiles of config files: they take it from the
// environment only, by which the flags that it comes from have their defaults.
func (c Chain) export() {
	if c.Region == "" {
		return
	}
	_ = os.Setenv("ALIBABA_CLOUD_STS_REGION", c.Region) // fails for names with = or NUL only
	_ = os.Setenv("ALIBABA_CLOUD_VPC_ENDPOINT_ENABLED", strconv.FormatBool(c.VPC))
}

func (s source) keys(c Chain, provider providers.CredentialsProvider) (credentials.Credentials, error) {
	given, err := provider.GetCredentials()
	if err != nil {
		return credentials.Credentials{}, s.explain(c, err)
	}
	keys := credentials.Credentials{AccessKeyID: given.AccessKeyId, AccessKeySecret: given.AccessKeySecret, SecurityToken: given.SecurityToken}
	if incomplete(keys) {
		return credentials.Credentials{}, s.incomplete()
	}
	return keys, nil
}

// incomplete is the error of a source that gives a temporary AccessKey without its token.
func (s source) incomplete() *UnavailableError {
	return &UnavailableError{Source: s.name, Class: sts.Refused, NextStep: missingToken + cmp.Or(s.completion, s.nextStep)}
}

// explain sorts an error of credentials-go. Their texts hold URLs, whole answers and file contents, so none is kept.
// Refused is what a setting causes, and what STS refuses with a code; anything else may pass by itself.
func (s source) explain(c Chain, err error) error {
	failure := &UnavailableError{Source: s.name, Class: sts.Transient, NextStep: s.nextStep}
	if misconfigured(err) {
		if !s.lastResort { // which is only reported when it has worked before
			failure.Class = sts.Refused
		}
		return failure
	}
	if s.action == "" || !s.calls(err) {
		return failure
	}
	cause := sts.ClassifySDKError(s.action, err).WithEndpoint(c.Where)
	if cause.Class != sts.Transient && cause.Class != sts.Throttled {
		failure.Class = sts.Refused
	}
	if s.subject != nil {
		cause = cause.WithSubject(s.subject())
	}
	failure.NextStep = cause.Error()
	return failure
}

// processErrors are how errors of credentials-go begin that come of a program or a service other than STS.
var processErrors = []string{"failed to execute external command", "command process timed out", "failed to parse external command",
	"invalid credential response", "invalid StsToken credential response",
	"get session token from sso", "get session token from OAuth", "failed to refresh token", "get refresh token from OAuth", "refresh session token err"}

// calls reports whether err is of a call to STS.
func (source) calls(err error) bool {
	text := err.Error()
	return !slices.ContainsFunc(processErrors, func(start string) bool { return strings.HasPrefix(text, start) })
}

// rrsaSubject is the operator's own ServiceAccount, as far as its token tells.
func rrsaSubject() sts.Subject {
	who := sts.Subject{}
	if arn := os.Getenv("ALIBABA_CLOUD_OIDC_PROVIDER_ARN"); providerFormat.MatchString(arn) {
		who.ProviderARN = arn
	}
	token, err := os.ReadFile(os.Getenv("ALIBABA_CLOUD_OIDC_TOKEN_FILE")) //nolint:gosec // an administrator's setting
	if err != nil {
		return who // STS has answered, so there was a token
	}
	c := claimsOf(strings.TrimSpace(string(token)))
	who.Name, who.Issuer = c.Subject, c.Issuer
	return who
}

func anySet(variables ...string) func() bool {
	return func() bool {
		for _, v := range variables {
			if os.Getenv(v) != "" {
				return true
			}
		}
		return false
	}
}

// fileOr tells whether variable names a file, or there is one at its usual place.
func fileOr(variable, usual string) func() bool {
	return func() bool {
		if os.Getenv(variable) != "" {
			return true
		}
		home, err := os.UserHomeDir()
		if err != nil {
			return false
		}
		_, err = os.Stat(filepath.Join(home, usual))
		return err == nil
	}
}
