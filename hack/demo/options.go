// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
)

// contextVariable names the context of the user's kubeconfig that is used instead of a control plane of our own.
const contextVariable = "KUBECONFIG_CONTEXT"

// options are what the user asks for.
type options struct {
	once, yes bool
	context   string // of the user's kubeconfig; empty: a control plane of our own
}

// parse reads the arguments and the environment.
func parse(arguments []string, getenv func(string) string) (options, error) {
	o := options{context: getenv(contextVariable)}
	flags := flag.NewFlagSet("demo", flag.ContinueOnError)
	flags.BoolVar(&o.once, "once", false, "end after the last step, with status 0 only if all came as it should")
	flags.BoolVar(&o.yes, "yes", false, "do not ask before using the cluster of "+contextVariable)
	if err := flags.Parse(arguments); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("unknown argument %q: see --help", flags.Arg(0))
	}
	return o, nil
}

// errDeclined is the answer no, and every other but yes.
var errDeclined = errors.New("not confirmed, so nothing was done")

// confirm asks a question and returns nil only for yes.
func confirm(in io.Reader, out io.Writer, question string) error {
	if _, err := fmt.Fprintf(out, "%s [y/N] ", question); err != nil {
		return err
	}
	answer, err := bufio.NewReader(in).ReadString('\n')
	if err != nil {
		_, _ = fmt.Fprintln(out) // the user's Return is missing
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	default:
		return errDeclined
	}
}

// isTerminal tells a terminal from files, pipes and the null device.
func isTerminal(file *os.File) bool {
	info, err := file.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return false
	}
	null, err := os.Stat(os.DevNull)
	return err != nil || !os.SameFile(info, null)
}
