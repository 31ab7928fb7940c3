// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package command

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// noArguments is for commands without arguments.
func noArguments(c *cobra.Command, arguments []string) error {
	if len(arguments) == 0 {
		return nil
	}
	return fmt.Errorf("%s takes no arguments, not %q. Write: %s", c.CommandPath(), strings.Join(arguments, " "), c.UseLine())
}

// oneArgument is for commands with exactly one argument, such as the name of an StsCredential.
func oneArgument(what string) cobra.PositionalArgs {
	return func(c *cobra.Command, arguments []string) error {
		switch len(arguments) {
		case 0:
			return fmt.Errorf("%s needs %s. Write: %s", c.CommandPath(), what, c.UseLine())
		case 1:
			return nil
		}
		return fmt.Errorf("%s takes only %s, not also %q. Write: %s", c.CommandPath(), what, strings.Join(arguments[1:], " "), c.UseLine())
	}
}

// atMostOneArgument is for commands with an optional argument.
func atMostOneArgument(what string) cobra.PositionalArgs {
	return func(c *cobra.Command, arguments []string) error {
		if len(arguments) == 0 {
			return nil
		}
		return oneArgument(what)(c, arguments)
	}
}

// aName is the argument of commands about one StsCredential.
const aName = "the name of an StsCredential"
