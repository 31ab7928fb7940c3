// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package command

import (
	"fmt"

	"github.com/spf13/cobra"
)

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
