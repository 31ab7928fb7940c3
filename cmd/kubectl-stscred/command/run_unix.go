// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build unix

package command

import "syscall"

// run replaces this process by the command, so that it has the terminal, gets all signals, and its exit status is seen by who
// started the plugin. It returns only if the command cannot be started.
func run(path string, argv, environment []string) error {
	return syscall.Exec(path, argv, environment) //nolint:gosec // the user's own command
}
