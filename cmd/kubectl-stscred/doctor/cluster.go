// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package doctor

// clusterChecks are the checks of the API, the operator, its identity and the grants.
var clusterChecks = []clusterCheck{}
