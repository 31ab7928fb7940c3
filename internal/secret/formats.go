// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package secret

import (
	"slices"
	"time"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/credentials"
)

// The keys of the default format: the environment variables that Alibaba Cloud's SDKs read.
const (
	KeyAccessKeyID     = "ALIBABA_CLOUD_ACCESS_KEY_ID"
	KeyAccessKeySecret = "ALIBABA_CLOUD_ACCESS_KEY_SECRET"
	KeySecurityToken   = "ALIBABA_CLOUD_SECURITY_TOKEN" //nolint:gosec // the name of a key, not a secret
)

// values are what a Secret's keys are made of, by name.
type values map[string]string

// The names of the values, which templates call fields.
const (
	fieldAccessKeyID     = "AccessKeyID"
	fieldAccessKeySecret = "AccessKeySecret"
	fieldSecurityToken   = "SecurityToken"
	fieldExpiration      = "Expiration"
	fieldLastUpdated     = "LastUpdated" // of no template
	fieldRoleARN         = "RoleARN"
	fieldRegion          = "Region"
)

func valuesOf(s credentials.Credentials, role, region string) values {
	return values{
		fieldAccessKeyID:     s.AccessKeyID,
		fieldAccessKeySecret: s.AccessKeySecret,
		fieldSecurityToken:   s.SecurityToken,
		fieldExpiration:      s.ExpiresAt.UTC().Format(time.RFC3339),
		fieldLastUpdated:     s.IssuedAt.UTC().Format(time.RFC3339),
		fieldRoleARN:         role,
		fieldRegion:          region,
	}
}

// formatCLIWithoutRegion is FormatCLI of an operator that has no region; no spec names it.
const formatCLIWithoutRegion v1alpha1.SecretFormat = "CLI without region"

// formats are the keys of each format of spec.secret.formats, as templates. The programs that read the Secret determine the
// names of the keys: docs/workloads.md lists the source of each format, and the program that it was tested with.
//
//nolint:gosec // they are names of keys, not secrets
var formats = parseFormats(map[v1alpha1.SecretFormat]map[string]string{
	v1alpha1.FormatSDK:        credentialKeys(KeyAccessKeyID, KeyAccessKeySecret, KeySecurityToken),
	v1alpha1.FormatTablestore: credentialKeys("TABLESTORE_ACCESS_KEY_ID", "TABLESTORE_ACCESS_KEY_SECRET", "TABLESTORE_SESSION_TOKEN"),
	v1alpha1.FormatOSS:        credentialKeys("OSS_ACCESS_KEY_ID", "OSS_ACCESS_KEY_SECRET", "OSS_SESSION_TOKEN"),
	v1alpha1.FormatTerraform:  credentialKeys("ALICLOUD_ACCESS_KEY", "ALICLOUD_SECRET_KEY", "ALICLOUD_SECURITY_TOKEN"),
	v1alpha1.FormatLogService: credentialKeys("ALIYUN_LOG_CLI_ACCESSID", "ALIYUN_LOG_CLI_ACCESSKEY", "ALIYUN_LOG_CLI_STS_TOKEN"),
	v1alpha1.FormatPlain: {
		"accessKeyId":     "{{ .AccessKeyID }}",
		"accessKeySecret": "{{ .AccessKeySecret }}",
		"securityToken":   "{{ .SecurityToken }}",
		"expiration":      "{{ .Expiration }}",
	},
	// The names in the response of AssumeRole, which the OSS CSI driver, JindoSDK and Fluid read.
	v1alpha1.FormatSTS: {
		"AccessKeyId":     "{{ .AccessKeyID }}",
		"AccessKeySecret": "{{ .AccessKeySecret }}",
		"SecurityToken":   "{{ .SecurityToken }}",
		"Expiration":      "{{ .Expiration }}",
	},
	v1alpha1.FormatCLI:     {"config.json": cliStart + cliRegion + cliEnd},
	formatCLIWithoutRegion: {"config.json": cliStart + cliEnd},
	// Without "enable = true": with that line, the V1.0 SDK for Java would use the profile without its token, because it does
	// not support the type sts_token.
	v1alpha1.FormatINI: {"credentials": `[default]
type = sts_token
access_key_id = {{ .AccessKeyID }}
access_key_secret = {{ .AccessKeySecret }}
security_token = {{ .SecurityToken }}
`},
	v1alpha1.FormatExternal: {"external.json": `{
  "mode": "StsToken",
  "access_key_id": {{ .AccessKeyID | toJson }},
  "access_key_secret": {{ .AccessKeySecret | toJson }},
  "sts_token": {{ .SecurityToken | toJson }},
  "expiration": {{ .Expiration | toJson }}
}
`},
	// The response of a credentials URI, which stscred-agent serves unchanged. SDKs of Java and Python need the Code, the OSS SDK
	// for Java reads StatusCode and LastUpdated.
	v1alpha1.FormatURI: {"credentials.json": `{
  "Code": "Success",
  "StatusCode": "200",
  "AccessKeyId": {{ .AccessKeyID | toJson }},
  "AccessKeySecret": {{ .AccessKeySecret | toJson }},
  "SecurityToken": {{ .SecurityToken | toJson }},
  "Expiration": {{ .Expiration | toJson }},
  "LastUpdated": {{ .LastUpdated | toJson }}
}
`},
})

// The parts of the aliyun CLI's configuration file.
const (
	cliStart = `{
  "current": "default",
  "profiles": [
    {
      "name": "default",
      "mode": "StsToken",
      "access_key_id": {{ .AccessKeyID | toJson }},
      "access_key_secret": {{ .AccessKeySecret | toJson }},
      "sts_token": {{ .SecurityToken | toJson }},
`
	cliRegion = `      "region_id": {{ .Region | toJson }},
`
	cliEnd = `      "output_format": "json"
    }
  ]
}
`
)

// credentialKeys is a format of three keys, as environment variables have it.
func credentialKeys(id, secret, token string) map[string]string {
	return map[string]string{id: "{{ .AccessKeyID }}", secret: "{{ .AccessKeySecret }}", token: "{{ .SecurityToken }}"} //nolint:gosec // names of fields
}

func parseFormats(sources map[v1alpha1.SecretFormat]map[string]string) map[v1alpha1.SecretFormat]map[string]text {
	parsed := map[v1alpha1.SecretFormat]map[string]text{}
	for name, keys := range sources {
		parsed[name] = map[string]text{}
		for key, source := range keys {
			t, err := parseText(source, append(slices.Clone(fields), fieldLastUpdated))
			if err != nil {
				panic("secret: format " + string(name) + ": " + err.Error())
			}
			parsed[name][key] = t
		}
	}
	return parsed
}
