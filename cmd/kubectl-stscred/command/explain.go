// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package command

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stscredential/sts-credential-operator/cmd/kubectl-stscred/explain"
)

// newExplain returns the command that explains an error code, a condition, a reason or a check.
func newExplain(o *options) *cobra.Command {
	c := &cobra.Command{
		Use:   "explain [CODE | REASON | CHECK]",
		Short: "Explain an STS error code, a condition reason or a doctor check",
		Long: "Explain an error code of STS, a condition or reason of an StsCredential, or a check of doctor: what it means, its causes with the most " +
			"likely first, and what to do.\nWithout a name, list all names. This command needs no cluster.",
		Args: atMostOneArgument("a code, a reason or a check"),
		Example: `  # An error code of STS
  kubectl stscred explain NoPermission

  # A reason of a condition
  kubectl stscred explain SecretConflict

  # All names
  kubectl stscred explain`,
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return explainedNames(), cobra.ShellCompDirectiveNoFileComp
		},
	}
	format := outputFlag(c)
	c.RunE = func(_ *cobra.Command, names []string) error {
		if len(names) == 0 {
			return o.print(*format, explain.All(), printNames)
		}
		entry, found := explain.Find(names[0])
		if !found {
			return unknownName(names[0])
		}
		return o.print(*format, entry, func(w io.Writer, _ bool) error { return printEntry(w, entry) })
	}
	return c
}

func explainedNames() (names []string) {
	for _, e := range explain.All() {
		names = append(names, e.Name)
	}
	return names
}

// unknownName is the error for a name without an entry.
func unknownName(name string) error {
	similar := explain.Similar(name)
	if len(similar) == 0 {
		return fmt.Errorf("%q is not known. List all names: kubectl stscred explain", name)
	}
	return fmt.Errorf("%q is not known. Similar names: %s", name, strings.Join(similar, ", "))
}

func printNames(w io.Writer, wide bool) error {
	table := &metav1.Table{ColumnDefinitions: []metav1.TableColumnDefinition{{Name: "Name"}, {Name: "Kind"}, {Name: "Meaning"}, {Name: "Docs", Priority: 1}}}
	for _, e := range explain.All() {
		table.Rows = append(table.Rows, metav1.TableRow{Cells: []any{e.Name, string(e.Kind), e.Meaning, e.Docs}})
	}
	return printTable(w, table, wide)
}

func printEntry(w io.Writer, e explain.Entry) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s (%s)\n\n%s\n", e.Name, e.Kind, e.Meaning)
	if e.Reason != "" {
		fmt.Fprintf(&b, "The StsCredential then has the reason %s.\n", e.Reason)
	}
	section := func(title, mark string, lines []string) {
		if len(lines) == 0 {
			return
		}
		fmt.Fprintf(&b, "\n%s:\n", title)
		for i, line := range lines {
			b.WriteString("  " + strings.ReplaceAll(mark, "#", fmt.Sprint(i+1)) + line + "\n")
		}
	}
	section("Text of STS", "", e.Texts)
	section("Causes, most likely first", "#. ", e.Causes)
	section("Next steps", "#. ", e.Steps)
	fmt.Fprintf(&b, "\nDocumentation: %s\n", e.Docs)
	_, err := io.WriteString(w, b.String())
	return err
}
