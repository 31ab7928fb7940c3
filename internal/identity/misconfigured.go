// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package identity

import (
	"errors"
	"io/fs"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/stscredential/sts-credential-operator/internal/credentials"
)

// misconfigurations are the prefixes of the errors of credentials-go (v1.4.14, credentials/providers) that a wrong setting
// causes. The providers return them before any call, so a retry cannot help. None of these texts is shown.
var misconfigurations = []string{
	"unable to get credentials from ",
	"the OIDCTokenFilePath is empty", "the OIDCProviderARN is empty", "the RoleArn is empty", "the url is empty",
	"the access key id is empty", "the access key secret is empty", "the security token is empty",
	"the Assume Role session duration should be", "session duration should be",
	"reading aliyun cli config", "unmarshal aliyun cli config", "no any configured profiles", "unable to get profile",
	"unsupported profile mode", "get source profile failed", "the CLI profile is disabled", "cannot found home dir",
	"invalid site type", "must specify a previous credentials provider", "get previous credentials provider failed",
	"process_command is empty",
	"CloudSSO access token is empty or expired", "CloudSSO sign in url or account id or access config is empty",
	"the ClientId is empty", "the url for sign-in is empty",
	"ERROR: ", "IMDS credentials is disabled",
}

// misconfigured reports whether a source failed because of a setting: a missing file, a wrong profile, a malformed URL. All
// other failures are transient.
func misconfigured(err error) bool {
	var badURL *url.Error
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission):
		return true
	case errors.As(err, &badURL):
		return badURL.Op == "parse" || strings.Contains(badURL.Err.Error(), "unsupported protocol scheme") // net/http has no type for it
	}
	text := err.Error()
	return slices.ContainsFunc(misconfigurations, func(start string) bool { return strings.HasPrefix(text, start) })
}

// temporaryKey is the prefix of the AccessKey IDs that STS issues.
const temporaryKey = "STS."

// incomplete reports whether c is a temporary AccessKey without its security token, which STS never accepts.
func incomplete(c credentials.Credentials) bool {
	return strings.HasPrefix(c.AccessKeyID, temporaryKey) && c.SecurityToken == ""
}

// incompleteCause is the cause in the error of a source with incomplete credentials; the next step follows.
const incompleteCause = "the source returned a temporary AccessKey ID (STS.…) without its security token, and is not used. "

// CheckEnvironment returns an error if the environment variables hold a temporary AccessKey without its security token,
// which can never sign a call. It makes no call.
func CheckEnvironment() error {
	s := sources[0]
	c := credentials.Credentials{
		AccessKeyID: os.Getenv("ALIBABA_CLOUD_ACCESS_KEY_ID"), AccessKeySecret: os.Getenv("ALIBABA_CLOUD_ACCESS_KEY_SECRET"),
		SecurityToken: os.Getenv("ALIBABA_CLOUD_SECURITY_TOKEN"),
	}
	if incomplete(c) {
		return s.incomplete()
	}
	return nil
}
