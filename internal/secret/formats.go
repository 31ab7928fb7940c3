// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package secret

import (
	"encoding/json"
	"strings"
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

// format makes a ready-made set of keys.
type format func(values) map[string]string

// formats are the formats of spec.secret.formats. The programs that read the Secret determine the names of the keys:
// docs/workloads.md lists the source of each format, and the program that it was tested with.
var formats = map[v1alpha1.SecretFormat]format{
	v1alpha1.FormatSDK:        credentialKeys(KeyAccessKeyID, KeyAccessKeySecret, KeySecurityToken),
	v1alpha1.FormatTablestore: credentialKeys("TABLESTORE_ACCESS_KEY_ID", "TABLESTORE_ACCESS_KEY_SECRET", "TABLESTORE_SESSION_TOKEN"),
	v1alpha1.FormatOSS:        credentialKeys("OSS_ACCESS_KEY_ID", "OSS_ACCESS_KEY_SECRET", "OSS_SESSION_TOKEN"),
	v1alpha1.FormatTerraform:  credentialKeys("ALICLOUD_ACCESS_KEY", "ALICLOUD_SECRET_KEY", "ALICLOUD_SECURITY_TOKEN"),
	v1alpha1.FormatLogService: credentialKeys("ALIYUN_LOG_CLI_ACCESSID", "ALIYUN_LOG_CLI_ACCESSKEY", "ALIYUN_LOG_CLI_STS_TOKEN"),
	v1alpha1.FormatPlain:      plain,
	v1alpha1.FormatSTS:        answer,
	v1alpha1.FormatCLI:        cli,
	v1alpha1.FormatINI:        ini,
	v1alpha1.FormatExternal:   external,
	v1alpha1.FormatURI:        uri,
}

// credentialKeys is a format of three keys, as environments have it.
func credentialKeys(id, secret, token string) format {
	return func(v values) map[string]string {
		return map[string]string{id: v[fieldAccessKeyID], secret: v[fieldAccessKeySecret], token: v[fieldSecurityToken]}
	}
}

func plain(v values) map[string]string {
	return map[string]string{
		"accessKeyId":     v[fieldAccessKeyID],
		"accessKeySecret": v[fieldAccessKeySecret],
		"securityToken":   v[fieldSecurityToken],
		"expiration":      v[fieldExpiration],
	}
}

// answer has the names of AssumeRole's answer, which the OSS CSI driver, JindoSDK and Fluid read.
func answer(v values) map[string]string {
	return map[string]string{
		"AccessKeyId":     v[fieldAccessKeyID],
		"AccessKeySecret": v[fieldAccessKeySecret],
		"SecurityToken":   v[fieldSecurityToken],
		"Expiration":      v[fieldExpiration],
	}
}

// profile is what the aliyun CLI's configuration and the output of a process_command have in common.
type profile struct {
	Name            string `json:"name,omitempty"`
	Mode            string `json:"mode"`
	AccessKeyID     string `json:"access_key_id"`
	AccessKeySecret string `json:"access_key_secret"`
	STSToken        string `json:"sts_token"`
	RegionID        string `json:"region_id,omitempty"`
	OutputFormat    string `json:"output_format,omitempty"`
	Expiration      string `json:"expiration,omitempty"`
}

func profileOf(v values) profile {
	return profile{Mode: "StsToken", AccessKeyID: v[fieldAccessKeyID], AccessKeySecret: v[fieldAccessKeySecret], STSToken: v[fieldSecurityToken]}
}

func cli(v values) map[string]string {
	p := profileOf(v)
	p.Name, p.RegionID, p.OutputFormat = "default", v[fieldRegion], "json"
	return map[string]string{"config.json": document(struct {
		Current  string    `json:"current"`
		Profiles []profile `json:"profiles"`
	}{p.Name, []profile{p}})}
}

func external(v values) map[string]string {
	p := profileOf(v)
	p.Expiration = v[fieldExpiration]
	return map[string]string{"external.json": document(p)}
}

// ini returns a credentials file without "enable = true". With that line, the V1.0 SDK for Java would use the profile
// without its token, because it does not support the type sts_token.
func ini(v values) map[string]string {
	return map[string]string{"credentials": strings.Join([]string{
		"[default]",
		"type = sts_token",
		"access_key_id = " + v[fieldAccessKeyID],
		"access_key_secret = " + v[fieldAccessKeySecret],
		"security_token = " + v[fieldSecurityToken],
		"",
	}, "\n")}
}

// uri is the answer of a credentials URI, which stscred-agent serves as it is. SDKs of Java and Python need the Code, the OSS
// SDK for Java reads StatusCode and LastUpdated.
func uri(v values) map[string]string {
	return map[string]string{"credentials.json": document(struct {
		Code            string `json:"Code"`
		StatusCode      string `json:"StatusCode"`
		AccessKeyID     string `json:"AccessKeyId"`
		AccessKeySecret string `json:"AccessKeySecret"`
		SecurityToken   string `json:"SecurityToken"`
		Expiration      string `json:"Expiration"`
		LastUpdated     string `json:"LastUpdated"`
	}{"Success", "200", v[fieldAccessKeyID], v[fieldAccessKeySecret], v[fieldSecurityToken], v[fieldExpiration], v[fieldLastUpdated]})}
}

// document is JSON for a program to read.
func document(v any) string {
	raw, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		panic("secret: a document made of strings cannot be encoded: " + err.Error())
	}
	return string(raw) + "\n"
}
