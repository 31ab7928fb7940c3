// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package credentials

import "regexp"

// UnknownAccessKeyID stands for an AccessKey ID of a form that is not documented, which may be anything.
const UnknownAccessKeyID = "an AccessKey ID of unknown form"

// accessKeyIDs are the documented forms: 16 to 24 letters and digits that begin with LTAI, of old without that, and STS. for
// temporary ones (https://rules.sonarsource.com/secrets/RSPEC-6336).
var accessKeyIDs = regexp.MustCompile(`^(?:LTAI[A-Za-z0-9]{12,20}|[A-Za-z0-9]{16}|STS\.[A-Za-z0-9]{1,64})$`)

// ShownAccessKeyID returns what may be shown of an AccessKey ID in status, logs and messages: the ID itself only if it has
// one of the documented forms, since private clouds have others and a misconfigured source can give a secret in its place.
func ShownAccessKeyID(id string) string {
	if id == "" || accessKeyIDs.MatchString(id) {
		return id
	}
	return UnknownAccessKeyID
}
