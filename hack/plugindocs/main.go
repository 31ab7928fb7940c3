// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command plugindocs writes the reference of the kubectl plugin's commands and flags to a Markdown file.
package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/utils/clock"

	"github.com/stscredential/sts-credential-operator/cmd/kubectl-stscred/command"
)

const head = `# Reference of kubectl stscred

All commands of the kubectl plugin with their flags, as ` + "`--help`" + ` prints them.
[The guide](kubectl-plugin.md) says which command answers which question, and which rights each needs. ` + "`make generate`" + ` writes this page.
`

func main() {
	root := command.New(command.Environment{Clock: clock.RealClock{}, Getenv: os.Getenv, IsTerminal: func(any) bool { return false }})
	if err := os.WriteFile(os.Args[1], reference(root), 0o600); err != nil {
		fmt.Fprintln(os.Stderr, "plugindocs:", err)
		os.Exit(1)
	}
}

// reference returns the page: the commands by name, then the flags that all have.
func reference(root *cobra.Command) []byte {
	page := bytes.NewBufferString(head)
	page.WriteString("\n| command | purpose |\n|---|---|\n")
	for _, c := range documented(root) {
		fmt.Fprintf(page, "| [`%s`](#%s) | %s |\n", c.Name(), c.Name(), c.Short)
	}
	for _, c := range documented(root) {
		section(page, c)
	}
	page.WriteString("\n## Flags of all commands\n\nThe other flags of kubectl that choose the cluster and the user work too, such as `--as` and `--server`.\n")
	flagTable(page, root.PersistentFlags())
	return page.Bytes()
}

func documented(root *cobra.Command) (commands []*cobra.Command) {
	for _, c := range root.Commands() {
		if c.IsAvailableCommand() && c.Name() != "help" {
			commands = append(commands, c)
		}
	}
	return commands
}

func section(page *bytes.Buffer, c *cobra.Command) {
	text := c.Long
	if text == "" {
		text = c.Short + "."
	}
	fmt.Fprintf(page, "\n## %s\n\n%s\n\n```text\nUsage: %s\n```\n", c.Name(), text, c.UseLine())
	fmt.Fprintf(page, "\n<!-- run: TestPluginExamples -->\n```sh\n%s\n```\n", unindent(c.Example))
	c.InitDefaultHelpFlag()
	flagTable(page, c.LocalNonPersistentFlags())
}

// unindent removes the two spaces before each line of an example.
func unindent(example string) string {
	return strings.TrimSpace(strings.ReplaceAll("\n"+example, "\n  ", "\n"))
}

func flagTable(page *bytes.Buffer, flags *pflag.FlagSet) {
	var rows strings.Builder
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Name == "help" {
			return
		}
		name := "`--" + f.Name + "`"
		if f.Shorthand != "" {
			name = "`-" + f.Shorthand + "`, " + name
		}
		value, usage := pflag.UnquoteUsage(f)
		fmt.Fprintf(&rows, "| %s | %s | %s | %s |\n", name, value, standard(f), strings.ReplaceAll(usage, "|", `\|`))
	})
	if rows.Len() > 0 {
		fmt.Fprintf(page, "\n| flag | value | default | meaning |\n|---|---|---|---|\n%s", rows.String())
	}
}

// standard is the default of a flag; empty if it is the zero value.
func standard(f *pflag.Flag) string {
	switch f.DefValue {
	case "", "false", "0", "0s", "[]":
		return ""
	}
	return "`" + f.DefValue + "`"
}
