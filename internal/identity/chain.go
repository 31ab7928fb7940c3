// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package identity

import (
	"cmp"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/aliyun/credentials-go/credentials/providers"

	"github.com/stscredential/sts-credential-operator/internal/sts"
)

// Chain says where the sources that ask STS themselves shall do so.
type Chain struct {
	// Endpoint is the host of STS, as (*sts.Client).Endpoint has it. These calls are
	// always HTTPS.
	Endpoint string
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
		nextStep: "set both ALIBABA_CLOUD_ACCESS_KEY_ID and ALIBABA_CLOUD_ACCESS_KEY_SECRET",
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
		nextStep: "check that the file (ALIBABA_CLOUD_CONFIG_FILE) can be read, and the mode and keys of its profile (ALIBABA_CLOUD_PROFILE)",
	},
	{
		name:       "the credentials file",
		configured: fileOr("ALIBABA_CLOUD_CREDENTIALS_FILE", ".alibabacloud/credentials"),
		action:     "AssumeRole",
		provider: func(Chain) (providers.CredentialsProvider, error) {
			return providers.NewProfileCredentialsProviderBuilder().Build()
		},
		nextStep: "check that the file (ALIBABA_CLOUD_CREDENTIALS_FILE) can be read, and the type and keys of its profile (ALIBABA_CLOUD_PROFILE)",
	},
	{
		name:       "the credentials URI",
		configured: anySet("ALIBABA_CLOUD_CREDENTIALS_URI"),
		provider: func(Chain) (providers.CredentialsProvider, error) {
			return providers.NewURLCredentialsProviderBuilder().Build()
		},
		nextStep: "check that ALIBABA_CLOUD_CREDENTIALS_URI can be reached and answers with AccessKeyId, AccessKeySecret, SecurityToken and Expiration",
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
	return func() (sts.Keys, error) {
		if settled != nil {
			return settledOn.keys(settled)
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
		return sts.Keys{}, nothing
	}
}

// open gets keys for the first time.
func (s source) open(c Chain) (providers.CredentialsProvider, sts.Keys, error) {
	provider, err := s.provider(c)
	if err != nil {
		return nil, sts.Keys{}, s.explain(err)
	}
	keys, err := s.keys(provider)
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

func (s source) keys(provider providers.CredentialsProvider) (sts.Keys, error) {
	c, err := provider.GetCredentials()
	if err != nil {
		return sts.Keys{}, s.explain(err)
	}
	return sts.Keys{AccessKeyID: c.AccessKeyId, AccessKeySecret: c.AccessKeySecret, SecurityToken: c.SecurityToken}, nil
}

// explain sorts an error of credentials-go. Their texts hold URLs, whole answers
// and file contents, so none is kept.
func (s source) explain(err error) error {
	failure := &UnavailableError{Source: s.name, Class: sts.Refused, NextStep: s.nextStep}
	if s.lastResort {
		failure.Class = sts.Transient // only told when it has worked before
	}
	cause := sts.Foreign(s.action, err)
	if cause == nil {
		return failure
	}
	if cause.Class == sts.Transient || cause.Class == sts.Throttled {
		failure.Class = sts.Transient
	}
	if s.subject != nil {
		cause = cause.WithSubject(s.subject())
	}
	if s.action != "" {
		failure.NextStep = cause.Error()
	}
	return failure
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
