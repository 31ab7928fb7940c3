// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build !unix

package command

import (
	"errors"
	"os"
	"os/exec"
	"os/signal"
)

// run runs the command to its end, with this process's streams. The console sends an interrupt to both, and only the command
// decides what it means. The error is an *ExitError, with the command's own status, if the command was started.
func run(path string, argv, environment []string) error {
	signal.Ignore(os.Interrupt)
	child := exec.Command(path, argv[1:]...) //nolint:gosec,noctx // the user's own command, which ends by itself
	child.Env = environment
	child.Stdin, child.Stdout, child.Stderr = os.Stdin, os.Stdout, os.Stderr
	err := child.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return &ExitError{Status: exit.ExitCode()}
	}
	return err
}
