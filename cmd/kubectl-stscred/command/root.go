// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package command has the commands of the kubectl plugin, one per file.
package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

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
	root := New(environment) //nolint:contextcheck // a command takes the context from cobra
	root.SetArgs(arguments)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return ExitOK
	}
	status := ExitFindings
	if exit := (*ExitError)(nil); errors.As(err, &exit) {
		status, err = exit.Status, exit.Err
	}
	if err != nil {
		_, _ = fmt.Fprintln(environment.ErrOut, "error:", printable(describe(err)))
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
		Long: "Inspect, explain and repair StsCredentials, and find long-term AccessKeys.\n" +
			"All commands have your rights in the cluster. They accept the flags of kubectl that choose cluster, user and namespace, such as --as.",
		Example: `  # What expires tonight, in all namespaces
  kubectl stscred list -A --expiring-within 12h

  # Why do these credentials not work?
  kubectl stscred status -n shop orders-reader`,
		Args: func(c *cobra.Command, arguments []string) error {
			if err := cobra.NoArgs(c, arguments); err != nil {
				return fmt.Errorf("%w%s. See: %s --help", err, suggestions(c, arguments[0]), c.CommandPath())
			}
			return nil
		},
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
		Annotations: map[string]string{
			cobra.CommandDisplayNameAnnotation: "kubectl stscred",
		},
		CompletionOptions:          cobra.CompletionOptions{DisableDefaultCmd: true},
		SuggestionsMinimumDistance: 2,
		SilenceErrors:              true,
		SilenceUsage:               true,
		Version:                    fmt.Sprintf("%s, commit %s", environment.Version, environment.Commit),
	}
	root.SetIn(environment.In)
	root.SetOut(environment.Out)
	root.SetErr(environment.ErrOut)
	o.addKubectlFlags(root)
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return fmt.Errorf("%w. See: %s --help", err, c.CommandPath())
	})
	root.AddCommand(
		newExplain(o),
		newList(o),
		newStatus(o),
		newDoctor(o),
		newTrustPolicy(o),
		newRenew(o),
		newExec(o),
		newWhoami(o),
		newScan(o),
		newCompletion(o),
		newVersion(o),
	)
	refuseUnknownTopics(root)
	return root
}

// refuseUnknownTopics lets help fail for an unknown command, as the command itself does.
func refuseUnknownTopics(root *cobra.Command) {
	root.InitDefaultHelpCmd()
	help, _, err := root.Find([]string{"help"})
	if err != nil {
		return
	}
	help.Args = func(_ *cobra.Command, arguments []string) error {
		found, rest, err := root.Find(arguments)
		if err == nil && found == root && len(rest) > 0 {
			return root.Args(root, rest)
		}
		return err
	}
}

// suggestions returns the commands that a wrong one may have meant.
func suggestions(c *cobra.Command, wrong string) string {
	if similar := c.SuggestionsFor(wrong); len(similar) > 0 {
		return ", which may mean " + strings.Join(similar, " or ")
	}
	return ""
}

// hiddenFlags are the flags of kubectl that work, and that help does not show.
var hiddenFlags = []string{
	"as", "as-group", "as-uid", "as-user-extra", "cache-dir", "certificate-authority", "client-certificate", "client-key", "cluster",
	"disable-compression", "insecure-skip-tls-verify", "proxy-url", "request-timeout", "server", "tls-server-name", "token", "user",
}

// addKubectlFlags adds the flags that choose cluster, user and namespace.
func (o *options) addKubectlFlags(root *cobra.Command) {
	flags := root.PersistentFlags()
	o.config.AddFlags(flags)
	for _, name := range hiddenFlags {
		_ = flags.MarkHidden(name)
	}
	flags.Lookup("namespace").Usage = "Namespace of the StsCredentials. The default is that of the context."
	flags.Lookup("context").Usage = "Context of the kubeconfig. The default is its current context."
	flags.Lookup("kubeconfig").Usage = "Path of the kubeconfig. The default is KUBECONFIG, or ~/.kube/config."
	_ = root.RegisterFlagCompletionFunc("namespace", o.completeNamespaces)
	_ = root.RegisterFlagCompletionFunc("context", o.completeContexts)
}

// newVersion returns the command that prints the plugin's version.
func newVersion(o *options) *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version of the plugin",
		Args:    noArguments,
		Example: "  kubectl stscred version",
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintf(o.Out, "kubectl-stscred %s, commit %s\n", o.Version, o.Commit)
			return err
		},
	}
}

// completionScript is the program that kubectl runs to complete the words after "kubectl stscred".
const completionScript = `#!/bin/sh
exec kubectl stscred __complete "$@"
`

// newCompletion returns the command that prints the program for completion. Cobra's own would complete kubectl-stscred only.
func newCompletion(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "completion",
		Short: "Print the program that makes kubectl complete names and flags",
		Long: "Print the program that makes kubectl complete the names of StsCredentials, namespaces, flags and their values.\n" +
			"Write it to a folder of your PATH as kubectl_complete-stscred. The completion of kubectl itself must be set up in your shell.",
		Args: noArguments,
		Example: `  kubectl stscred completion >~/.local/bin/kubectl_complete-stscred
  chmod +x ~/.local/bin/kubectl_complete-stscred`,
		RunE: func(*cobra.Command, []string) error {
			_, err := io.WriteString(o.Out, completionScript)
			return err
		},
	}
}
