// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package command

import (
	"io"

	"github.com/spf13/cobra"
)

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
