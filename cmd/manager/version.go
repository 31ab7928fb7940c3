// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"runtime"
)

// version and commit are set when the manager is built.
var (
	version = "dev"
	commit  = "unknown"
)

// build returns the version, commit and platform.
func build() string {
	return fmt.Sprintf("sts-credential-operator %s, commit %s, %s %s/%s", version, commit, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}
