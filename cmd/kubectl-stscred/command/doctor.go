// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/stscredential/sts-credential-operator/cmd/kubectl-stscred/doctor"
)

// doctorOptions are the arguments of doctor.
type doctorOptions struct {
	name         string
	all, verbose bool
	output       *outputFormat
}

// newDoctor returns the command that finds what keeps StsCredentials from working, and what repairs it.
func newDoctor(o *options) *cobra.Command {
	var d doctorOptions
	c := &cobra.Command{
		Use:   "doctor [NAME]",
		Short: "Find what is wrong, and print what repairs it",
		Long: "Find what keeps StsCredentials and their workloads from working, and print the commands that repair it.\n" +
			"Without a name, all StsCredentials of the namespace are checked, and the operator as far as you may see it.\n\n" +
			"The exit status is 0 if nothing is wrong, 1 if there are findings, and 2 if there are none but something that you asked for\n" +
			"could not be looked at: StsCredentials, Secrets and pods of the namespace; with -A also the operator, grants and nodes.",
		Args: atMostOneArgument(aName),
		Example: `  # What is wrong in the namespace of the current context?
  kubectl stscred doctor

  # Check the whole cluster, and show what is healthy
  kubectl stscred doctor -A -v

  # Findings for a program
  kubectl stscred doctor -A -o json`,
		ValidArgsFunction: o.completeName,
		RunE: func(c *cobra.Command, names []string) error {
			if len(names) > 0 {
				d.name = names[0]
			}
			if d.all && d.name != "" {
				return errors.New("write a name or --all-namespaces, not both")
			}
			return o.doctor(c.Context(), d)
		},
	}
	c.Flags().BoolVarP(&d.all, "all-namespaces", "A", false, "Check all namespaces, the operator and all grants.")
	c.Flags().BoolVarP(&d.verbose, "verbose", "v", false, "Also print one line for each healthy check.")
	d.output = outputFlag(c)
	return c
}

func (o *options) doctor(ctx context.Context, d doctorOptions) error {
	namespace, err := o.namespace(d.all)
	if err != nil {
		return &ExitError{Status: ExitNotChecked, Err: err}
	}
	snapshot, err := o.gather(ctx, scope{namespace: namespace, name: d.name})
	if err != nil {
		return &ExitError{Status: ExitNotChecked, Err: err}
	}
	report := doctor.Check(snapshot)
	err = o.print(*d.output, report, func(w io.Writer, wide bool) error {
		_, err := io.WriteString(w, drawReport(report, len(snapshot.Credentials), o.style(), d.verbose, wide))
		return err
	})
	if err != nil {
		return err
	}
	if !d.output.machine() {
		drawUnread(o.ErrOut, report.Unread)
	}
	return doctorStatus(report)
}

// doctorStatus returns the exit status of a report as an error without message.
func doctorStatus(report doctor.Report) error {
	switch {
	case len(report.Findings) > 0:
		return &ExitError{Status: ExitFindings}
	case slices.ContainsFunc(report.Unread, func(u doctor.Unread) bool { return u.Requested }):
		return &ExitError{Status: ExitNotChecked}
	}
	return nil
}

// drawReport returns the findings, each with the fix as a block that can be copied. Wide adds the names of the checks.
func drawReport(report doctor.Report, credentials int, s style, verbose, wide bool) string {
	var b strings.Builder
	for _, f := range report.Findings {
		f = printableFinding(f)
		title := f.Object
		if wide {
			title += "  [" + f.Check + ", " + string(f.Stage) + "]"
		}
		fmt.Fprintf(&b, "%s %s\n", s.bad(), s.paint(bold, title))
		fmt.Fprintf(&b, "  %s\n\n", f.Message)
		b.WriteString(indented(f.Fix, 4) + "\n")
	}
	if verbose {
		for _, h := range report.Healthy {
			title := h.Message
			if h.Object != "" {
				title = h.Object + ": " + title
			}
			if wide {
				title += "  [" + h.Check + ", " + string(h.Stage) + "]"
			}
			fmt.Fprintf(&b, "%s %s\n", s.good(), printableLine(title))
		}
	}
	fmt.Fprintf(&b, "%s in %s.\n", count(len(report.Findings), "finding"), count(credentials, "StsCredential"))
	return b.String()
}

// indented returns a fix as lines with spaces before them. A fix with a here-document has none: its end must begin a line.
func indented(fix string, spaces int) string {
	if strings.Contains(fix, "<<'EOF'") {
		spaces = 0
	}
	var b strings.Builder
	for line := range strings.Lines(strings.TrimSuffix(fix, "\n") + "\n") {
		b.WriteString(strings.Repeat(" ", spaces) + line)
	}
	return b.String()
}

// count returns "1 finding" or "2 findings".
func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// drawUnread writes what could not be looked at.
func drawUnread(w io.Writer, unread []doctor.Unread) {
	if len(unread) == 0 {
		return
	}
	_, _ = fmt.Fprintln(w, "Could not look at:")
	for _, u := range unread {
		u = printableUnread(u)
		_, _ = fmt.Fprintf(w, "  %s: %s. Not checked: %s.\n", u.Resource, strings.TrimSuffix(u.Reason, "."), u.Consequence)
	}
}
