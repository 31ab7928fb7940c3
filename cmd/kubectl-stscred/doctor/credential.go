// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package doctor

// credentialChecks are the checks of one StsCredential, its Secret and its pods.
var credentialChecks = []credentialCheck{}
