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

// Chain is the chain of sources for the operator's own credentials. Its fields are for sources that call STS themselves.
type Chain struct {
	// Endpoint is the host of STS, as (*sts.Client).Endpoint returns it. These calls always use HTTPS.
	Endpoint string
	// EndpointDescription is the endpoint as errors show it, see (*sts.Client).EndpointDescription; may be empty.
	EndpointDescription string
	// Region and VPC are for the profiles of config files that assume a role without a region: they take no host.
	Region string
	VPC    bool
}

// source is a source of credentials, with the texts for its errors.
type source struct {
	name string
	// configured reports whether the source is configured, completely or not.
	configured func() bool
	// lastResort: if the source fails, the next one is tried.
	lastResort bool
	// action is the action of STS that the source calls; empty if it does not call STS.
	action string
	// subject returns the subject of the OIDC token that the source sends; nil if it sends none.
	subject  func() sts.Subject
	provider func(Chain) (providers.CredentialsProvider, error)
	nextStep string
	// completion is the next step for a temporary AccessKey without its security token.
	completion string
}

// sources are the sources of Alibaba Cloud's default chain in its order (credentials-go,
// providers.NewDefaultCredentialsProvider), except that the node's RAM role is last: it is not configured for the operator.
var sources = []source{
	{
		name:       "environment variables",
		configured: anySet("ALIBABA_CLOUD_ACCESS_KEY_ID", "ALIBABA_CLOUD_ACCESS_KEY_SECRET"),
		provider: func(Chain) (providers.CredentialsProvider, error) {
			return providers.NewEnvironmentVariableCredentialsProviderBuilder().Build()
		},
		nextStep:   "the AccessKey is incomplete. Set both ALIBABA_CLOUD_ACCESS_KEY_ID and ALIBABA_CLOUD_ACCESS_KEY_SECRET",
		completion: "Set ALIBABA_CLOUD_SECURITY_TOKEN to the token that was issued with the AccessKey, or use the AccessKey of a RAM user",
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
		nextStep: "ALIBABA_CLOUD_ROLE_ARN, ALIBABA_CLOUD_OIDC_PROVIDER_ARN and ALIBABA_CLOUD_OIDC_TOKEN_FILE must be set, and the file must be readable. Check that ack-pod-identity-webhook injects them",
	},
	{
		name:       "the config file of the aliyun CLI",
		configured: fileOr("ALIBABA_CLOUD_CONFIG_FILE", ".aliyun/config.json"),
		action:     "AssumeRole",
		provider: func(Chain) (providers.CredentialsProvider, error) {
			return providers.NewCLIProfileCredentialsProviderBuilder().Build()
		},
		nextStep:   "the file cannot be used. Check that it can be read (ALIBABA_CLOUD_CONFIG_FILE), and the mode and keys of its profile (ALIBABA_CLOUD_PROFILE)",
		completion: "Set the mode StsToken and sts_token in the profile, or use the AccessKey of a RAM user. ALIBABA_CLOUD_SECURITY_TOKEN applies only to an AccessKey in environment variables",
	},
	{
		name:       "the credentials file",
		configured: fileOr("ALIBABA_CLOUD_CREDENTIALS_FILE", ".alibabacloud/credentials"),
		action:     "AssumeRole",
		provider: func(Chain) (providers.CredentialsProvider, error) {
			return providers.NewProfileCredentialsProviderBuilder().Build()
		},
		nextStep:   "the file cannot be used. Check that it can be read (ALIBABA_CLOUD_CREDENTIALS_FILE), and the type and keys of its profile (ALIBABA_CLOUD_PROFILE)",
		completion: "Use the AccessKey of a RAM user in the profile: the file has no field for a token. In environment variables, ALIBABA_CLOUD_SECURITY_TOKEN can be set with the AccessKey",
	},
	{
		name:       "the credentials URI",
		configured: anySet("ALIBABA_CLOUD_CREDENTIALS_URI"),
		provider: func(Chain) (providers.CredentialsProvider, error) {
			return providers.NewURLCredentialsProviderBuilder().Build()
		},
		nextStep:   "the URI returned no credentials. Check that ALIBABA_CLOUD_CREDENTIALS_URI can be reached and returns AccessKeyId, AccessKeySecret, SecurityToken and Expiration",
		completion: "The service at ALIBABA_CLOUD_CREDENTIALS_URI must also return SecurityToken; in environment variables it is ALIBABA_CLOUD_SECURITY_TOKEN",
	},
	{
		name:       "the node's RAM role",
		configured: func() bool { return true },
		lastResort: true,
		provider: func(Chain) (providers.CredentialsProvider, error) {
			return providers.NewECSRAMRoleCredentialsProviderBuilder().Build()
		},
		nextStep: "the ECS metadata service returned no credentials. Check the node's RAM role; if HTTP_PROXY is set, add 100.100.100.200 to NO_PROXY",
	},
}

// errNoSource is returned when no source is configured and the last resort failed.
var errNoSource = &UnavailableError{
	Class:    sts.Refused,
	NextStep: "no source is configured. Set up RRSA for the operator's ServiceAccount, or set ALIBABA_CLOUD_ACCESS_KEY_ID and ALIBABA_CLOUD_ACCESS_KEY_SECRET, or attach a RAM role to the node (if HTTP_PROXY is set, add 100.100.100.200 to NO_PROXY)",
}

// NewFetch returns a Fetch of the chain. Unlike in credentials-go's own chain, only the first configured source is used: if it
// fails, the operator does not call STS as another identity, such as the node.
func (c Chain) NewFetch() Fetch {
	c.export()
	var used providers.CredentialsProvider // the first that returned credentials
	var usedSource source
	return func() (credentials.Credentials, error) {
		if used != nil {
			return usedSource.credentials(c, used)
		}
		for _, s := range sources {
			if !s.configured() {
				continue
			}
			provider, first, err := s.open(c)
			if err == nil {
				used, usedSource = provider, s
			}
			if err == nil || !s.lastResort {
				return first, err
			}
		}
		return credentials.Credentials{}, errNoSource
	}
}

// open reads the source for the first time.
func (s source) open(c Chain) (providers.CredentialsProvider, credentials.Credentials, error) {
	provider, err := s.provider(c)
	if err != nil {
		return nil, credentials.Credentials{}, s.explain(c, err)
	}
	first, err := s.credentials(c, provider)
	return provider, first, err
}

// export sets the region for profiles of config files, which read it from the environment only.
func (c Chain) export() {
	if c.Region == "" {
		return
	}
	_ = os.Setenv("ALIBABA_CLOUD_STS_REGION", c.Region) // fails for names with = or NUL only
	_ = os.Setenv("ALIBABA_CLOUD_VPC_ENDPOINT_ENABLED", strconv.FormatBool(c.VPC))
}

func (s source) credentials(c Chain, provider providers.CredentialsProvider) (credentials.Credentials, error) {
	read, err := provider.GetCredentials()
	if err != nil {
		return credentials.Credentials{}, s.explain(c, err)
	}
	found := credentials.Credentials{AccessKeyID: read.AccessKeyId, AccessKeySecret: read.AccessKeySecret, SecurityToken: read.SecurityToken}
	if incomplete(found) {
		return credentials.Credentials{}, s.incomplete()
	}
	return found, nil
}

// incomplete returns the error of a source that returns a temporary AccessKey without its security token.
func (s source) incomplete() *UnavailableError {
	return &UnavailableError{Source: s.name, Class: sts.Refused, NextStep: incompleteCause + cmp.Or(s.completion, "Use the AccessKey of a RAM user")}
}

// explain classifies an error of credentials-go. Its text can hold URLs, responses and file contents, so none of it is kept.
// The class is Refused if a setting is the cause or STS refuses with a code, else Transient.
func (s source) explain(c Chain, err error) error {
	failure := &UnavailableError{Source: s.name, Class: sts.Transient, NextStep: s.nextStep}
	if misconfigured(err) {
		if !s.lastResort { // a failure of the last resort is reported only after it has worked
			failure.Class = sts.Refused
		}
		return failure
	}
	if s.action == "" || !s.calls(err) {
		return failure
	}
	cause := sts.ClassifySDKError(s.action, err).WithEndpoint(c.EndpointDescription)
	if cause.Class != sts.Transient && cause.Class != sts.Throttled {
		failure.Class = sts.Refused
	}
	if s.subject != nil {
		cause = cause.WithSubject(s.subject())
	}
	failure.NextStep = cause.Error()
	return failure
}

// processErrors are the prefixes of the errors of credentials-go from a program or a service other than STS.
var processErrors = []string{"failed to execute external command", "command process timed out", "failed to parse external command",
	"invalid credential response", "invalid StsToken credential response",
	"get session token from sso", "get session token from OAuth", "failed to refresh token", "get refresh token from OAuth", "refresh session token err"}

// calls reports whether err is the error of a call to STS.
func (source) calls(err error) bool {
	text := err.Error()
	return !slices.ContainsFunc(processErrors, func(start string) bool { return strings.HasPrefix(text, start) })
}

// rrsaSubject returns the operator's own ServiceAccount, as its token names it.
func rrsaSubject() sts.Subject {
	who := sts.Subject{}
	if arn := os.Getenv("ALIBABA_CLOUD_OIDC_PROVIDER_ARN"); providerFormat.MatchString(arn) {
		who.ProviderARN = arn
	}
	token, err := os.ReadFile(os.Getenv("ALIBABA_CLOUD_OIDC_TOKEN_FILE")) //nolint:gosec // an administrator's setting
	if err != nil {
		return who
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

// fileOr reports whether the variable names a file, or the file at the default path exists.
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
