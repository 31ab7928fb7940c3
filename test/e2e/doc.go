// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package e2e tests the operator as it is installed: its image and its chart, on a real node, with pods that call STS
// with what it wrote. Only `make e2e` runs it.
package e2e
