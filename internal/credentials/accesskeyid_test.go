// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package credentials_test

import (
	"strings"
	"testing"

	"github.com/stscredential/sts-credential-operator/internal/credentials"
)

func TestAccessKeyIDsAreShownInDocumentedFormsOnly(t *testing.T) {
	for _, id := range []string{"LTAI5tExampleExample1234", "LTAIExample12345", "abcdefghij012345", "STS.NUgYrLnoC37mZZCNnAbez", ""} {
		if got := credentials.ShownAccessKeyID(id); got != id {
			t.Errorf("%s is shown as %s", id, got)
		}
	}
	for _, id := range []string{
		"HushHushHushHushHushHushHush12", "hush", "LTAI-hush-hush-hush", "STS.", "STS.hush hush", "STS.hush/hush",
		"LTAIExample12345\n", strings.Repeat("h", 1000), "STS." + strings.Repeat("h", 65), credentials.UnknownAccessKeyID,
	} {
		if got := credentials.ShownAccessKeyID(id); got != credentials.UnknownAccessKeyID {
			t.Errorf("%q is shown as %s", id, got)
		}
	}
}
