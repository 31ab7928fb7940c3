// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command kubectl-stscred is a kubectl plugin: it lists, explains and repairs StsCredentials, and finds long-term AccessKeys.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/cli-runtime/pkg/printers"
	"k8s.io/utils/clock"

	"github.com/stscredential/sts-credential-operator/cmd/kubectl-stscred/command"
)

// version and commit are set when the plugin is built.
var (
	version = "dev"
	commit  = "unknown"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	status := command.Run(ctx, os.Args[1:], command.Environment{
		IOStreams:  genericiooptions.IOStreams{In: os.Stdin, Out: os.Stdout, ErrOut: os.Stderr},
		Clock:      clock.RealClock{},
		Getenv:     os.Getenv,
		IsTerminal: printers.IsTerminal,
		Version:    version,
		Commit:     commit,
	})
	stop()
	os.Exit(status)
}
