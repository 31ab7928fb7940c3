// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package scan

import (
	"strings"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
)

// names are the names of the three values of credentials: variables, or keys of a Secret.
type names struct{ id, secret, token string }

// format is a format of the operator's Secret whose keys are three names.
type format struct {
	name v1alpha1.SecretFormat
	names
}

// formats are those of spec.secret.formats that programs read by name.
var formats = []format{
	{v1alpha1.FormatSDK, names{"ALIBABA_CLOUD_ACCESS_KEY_ID", "ALIBABA_CLOUD_ACCESS_KEY_SECRET", "ALIBABA_CLOUD_SECURITY_TOKEN"}},
	{v1alpha1.FormatTablestore, names{"TABLESTORE_ACCESS_KEY_ID", "TABLESTORE_ACCESS_KEY_SECRET", "TABLESTORE_SESSION_TOKEN"}},
	{v1alpha1.FormatOSS, names{"OSS_ACCESS_KEY_ID", "OSS_ACCESS_KEY_SECRET", "OSS_SESSION_TOKEN"}},
	{v1alpha1.FormatTerraform, names{"ALICLOUD_ACCESS_KEY", "ALICLOUD_SECRET_KEY", "ALICLOUD_SECURITY_TOKEN"}},
	{v1alpha1.FormatLogService, names{"ALIYUN_LOG_CLI_ACCESSID", "ALIYUN_LOG_CLI_ACCESSKEY", "ALIYUN_LOG_CLI_STS_TOKEN"}},
	{v1alpha1.FormatPlain, names{"accessKeyId", "accessKeySecret", "securityToken"}},
	{v1alpha1.FormatSTS, names{"AccessKeyId", "AccessKeySecret", "SecurityToken"}},
}

// documents are the formats that are a whole file, by the key of the file.
var documents = map[string]v1alpha1.SecretFormat{
	"config.json": v1alpha1.FormatCLI, "credentials": v1alpha1.FormatINI, "external.json": v1alpha1.FormatExternal,
}

// formatOf returns the format with these names; false if there is none.
func formatOf(id, secret string) (format, bool) {
	for _, f := range formats {
		if f.id == id && f.secret == secret {
			return f, true
		}
	}
	return format{}, false
}

// idEndings are endings of the name of an AccessKey ID, the longest first. What is before them is the prefix of the token.
var idEndings = []string{
	"ACCESS_KEY_ID", "ACCESSKEY_ID", "ACCESSKEYID", "ACCESS_KEY", "ACCESSKEY", "ACCESS_ID", "ACCESSID", "KEY_ID", "AK_ENV", "AK_ID", "AKID", "AK",
}

// tokenName returns the name of the security token beside an AccessKey ID of any name.
func tokenName(id string) string {
	for _, ending := range idEndings {
		for _, variant := range []struct{ ending, token string }{
			{ending, "SECURITY_TOKEN"},
			{strings.ToLower(ending), "security_token"},
			{strings.ReplaceAll(strings.ToLower(ending), "_", "-"), "security-token"},
		} {
			if prefix, ok := strings.CutSuffix(id, variant.ending); ok {
				return prefix + variant.token
			}
		}
	}
	if strings.ToUpper(id) == id {
		return id + "_SECURITY_TOKEN"
	}
	return id + "SecurityToken"
}

// secretFor returns the name of the AccessKey secret that belongs to an ID: that of a format, or the most similar.
func secretFor(id string, candidates []string) string {
	best, length := "", -1
	for _, candidate := range candidates {
		if _, known := formatOf(id, candidate); known {
			return candidate
		}
		common := 0
		for common < min(len(id), len(candidate)) && id[common] == candidate[common] {
			common++
		}
		if common > length {
			best, length = candidate, common
		}
	}
	return best
}
