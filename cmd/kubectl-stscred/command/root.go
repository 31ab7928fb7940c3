// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package command has the commands of the kubectl plugin, one per file.
package command

import (
	"context"
	"errors"
	"fmt"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/log"
)

// Environment is what a command takes from its process.
type Environment struct {
	genericiooptions.IOStreams
	Clock clock.Clock
	// Getenv returns a variable of the environment, such as os.Getenv.
	Getenv func(string) string
	// IsTerminal reports whether a stream is a terminal, such as printers.IsTerminal.
	IsTerminal func(stream any) bool
	// Version and Commit of the plugin.
	Version, Commit string
}

// The exit statuses of the plugin.
const (
	ExitOK = 0
	// ExitFindings: doctor or scan has findings. Also the status of any error.
	ExitFindings = 1
	// ExitNotChecked: doctor or scan could not check all that it was asked to.
	ExitNotChecked = 2
)

// ExitError ends the plugin with a status of its own. Its message, if any, is printed.
type ExitError struct {
	Status int
	Err    error // nil if all is printed already
}

func (e *ExitError) Error() string {
	if e.Err == nil {
		return ""
	}
	return e.Err.Error()
}

func (e *ExitError) Unwrap() error { return e.Err }

// options are the flags that all commands have, and what they lead to.
type options struct {
	Environment
	config *genericclioptions.ConfigFlags
}

// Run runs the command that the arguments name, and returns the exit status.
func Run(ctx context.Context, arguments []string, environment Environment) int {
	root := New(environment)
	root.SetArgs(arguments)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return ExitOK
	}
	status := ExitFindings
	var exit *ExitError
	if errors.As(err, &exit) {
		status = exit.Status
	}
	if err.Error() != "" {
		fmt.Fprintln(environment.ErrOut, "error:", describe(err))
	}
	return status
}

// New returns the root command, for Run and for the generated reference.
func New(environment Environment) *cobra.Command {
	log.SetLogger(logr.Discard())
	o := &options{Environment: environment, config: genericclioptions.NewConfigFlags(true)}
	o.config.WithWrapConfigFn(func(c *rest.Config) *rest.Config {
		c.QPS, c.Burst = clientQPS, clientBurst
		c.UserAgent = "kubectl-stscred/" + environment.Version
		return c
	})
	root := &cobra.Command{
		Use:   "kubectl-stscred",
		Short: "Inspect, explain and repair StsCredentials, and find long-term AccessKeys",
		Annotations: map[string]string{
			cobra.CommandDisplayNameAnnotation: "kubectl stscred",
		},
		SilenceErrors: true,
		SilenceUsage:  true,
		Version:       fmt.Sprintf("%s, commit %s", environment.Version, environment.Commit),
	}
	root.SetIn(environment.In)
	root.SetOut(environment.Out)
	root.SetErr(environment.ErrOut)
	o.config.AddFlags(root.PersistentFlags())
	_ = root.RegisterFlagCompletionFunc("namespace", o.completeNamespaces)
	_ = root.RegisterFlagCompletionFunc("context", o.completeContexts)
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return fmt.Errorf("%w. See: %s --help", err, c.CommandPath())
	})
	root.AddCommand(
		newList(o),
		newRenew(o),
		newVersion(o),
	)
	return root
}
