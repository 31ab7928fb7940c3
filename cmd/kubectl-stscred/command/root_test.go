// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package command

import (
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/utils/clock"
)

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

// runLocal runs a command that needs no cluster.
func runLocal(t *testing.T, out io.Writer, arguments ...string) (status int, printed string) {
	t.Helper()
	var errOut strings.Builder
	status = Run(t.Context(), arguments, Environment{
		IOStreams: genericiooptions.IOStreams{In: os.Stdin, Out: out, ErrOut: &errOut}, Clock: clock.RealClock{}, Getenv: os.Getenv,
		IsTerminal: func(any) bool { return false },
	})
	return status, errOut.String()
}

func TestHelpOfUnknownCommand(t *testing.T) {
	if status, printed := runLocal(t, io.Discard, "help", "nosuch"); status != ExitFindings || !strings.Contains(printed, `unknown command "nosuch"`) {
		t.Errorf("exit status %d: %s", status, printed)
	}
	for _, arguments := range [][]string{{"help"}, {"help", "list"}} {
		if status, printed := runLocal(t, io.Discard, arguments...); status != ExitOK {
			t.Errorf("%v: exit status %d: %s", arguments, status, printed)
		}
	}
}

func TestOutputThatCannotBeWritten(t *testing.T) {
	for _, arguments := range [][]string{{"explain"}, {"explain", "NoPermission"}, {"explain", "-o", "json"}} {
		if status, printed := runLocal(t, full{}, arguments...); status != ExitFindings || !strings.Contains(printed, "no space left") {
			t.Errorf("%v: exit status %d: %s", arguments, status, printed)
		}
	}
}
