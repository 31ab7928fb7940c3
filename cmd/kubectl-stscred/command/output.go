// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package command

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/cli-runtime/pkg/printers"

	"github.com/stscredential/sts-credential-operator/cmd/kubectl-stscred/doctor"
)

// outputFormat is the value of -o.
type outputFormat string

const (
	outputTable outputFormat = "table"
	outputWide  outputFormat = "wide"
	outputJSON  outputFormat = "json"
	outputYAML  outputFormat = "yaml"
)

var outputFormats = []string{string(outputTable), string(outputWide), string(outputJSON), string(outputYAML)}

// outputFlag adds -o, which all commands that print objects have. The value is set when the command runs.
func outputFlag(c *cobra.Command) *outputFormat {
	f := outputTable
	c.Flags().VarP(&f, "output", "o", "Output format: "+enumerate(outputFormats)+".")
	_ = c.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(outputFormats, cobra.ShellCompDirectiveNoFileComp))
	return &f
}

// Set implements pflag.Value.
func (f *outputFormat) Set(value string) error {
	if !slices.Contains(outputFormats, value) {
		return fmt.Errorf("write %s", enumerate(outputFormats))
	}
	*f = outputFormat(value)
	return nil
}

// String implements pflag.Value.
func (f *outputFormat) String() string { return string(*f) }

// Type implements pflag.Value.
func (*outputFormat) Type() string { return "format" }

// machine reports whether programs read the output. Marks, notes and colours do not belong into it.
func (f *outputFormat) machine() bool { return *f == outputJSON || *f == outputYAML }

// enumerate joins "a, b or c".
func enumerate(words []string) string {
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " or " + words[last]
}

// print prints a value as JSON or YAML. For the other formats it calls human.
func (o *options) print(format outputFormat, value any, human func(w io.Writer, wide bool) error) error {
	if !format.machine() {
		return human(o.Out, format == outputWide)
	}
	object, ok := value.(runtime.Object)
	if !ok {
		raw, err := json.Marshal(value)
		if err != nil {
			return err
		}
		object = &runtime.Unknown{Raw: raw}
	}
	var printer printers.ResourcePrinter = &printers.JSONPrinter{}
	if format == outputYAML {
		printer = &printers.YAMLPrinter{}
	}
	return printer.PrintObj(object, o.Out)
}

// printTable prints a table. Columns with a priority above 0 are for -o wide. An empty table prints nothing.
func printTable(w io.Writer, table *metav1.Table, wide bool) error {
	var b bytes.Buffer // the printer ignores errors of its writer
	if err := printers.NewTablePrinter(printers.PrintOptions{Wide: wide}).PrintObj(table, &b); err != nil {
		return err
	}
	_, err := w.Write(b.Bytes())
	return err
}

// asList returns one List of objects, as kubectl prints it, without managed fields.
func asList[T any, P interface {
	*T
	runtime.Object
}](items []T) (*metav1.List, error) {
	list := &metav1.List{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "List"}, Items: []runtime.RawExtension{}}
	for i := range items {
		object := P(&items[i])
		kinds, _, err := scheme.ObjectKinds(object)
		if err != nil {
			return nil, err
		}
		object.GetObjectKind().SetGroupVersionKind(kinds[0])
		accessor, err := meta.Accessor(object)
		if err != nil {
			return nil, err
		}
		accessor.SetManagedFields(nil)
		list.Items = append(list.Items, runtime.RawExtension{Object: object})
	}
	return list, nil
}

// style draws marks, in colour if the output is a terminal.
type style struct{ color bool }

// style returns the style of the standard output.
func (o *options) style() style {
	return style{color: o.IsTerminal(o.Out) && o.Getenv("NO_COLOR") == "" && o.Getenv("TERM") != "dumb"}
}

const (
	red    = "31"
	green  = "32"
	yellow = "33"
	bold   = "1"
)

// paint returns text in a colour: red, green, yellow or bold.
func (s style) paint(color, text string) string {
	if !s.color {
		return text
	}
	return "\x1b[" + color + "m" + text + "\x1b[0m"
}

// good marks what works.
func (s style) good() string { return s.paint(green, "✓") }

// bad marks what does not work.
func (s style) bad() string { return s.paint(red, "✗") }

// unknown marks what could not be looked at.
func (s style) unknown() string { return s.paint(yellow, "?") }

// printable returns text for a terminal. Users of the cluster choose parts of it, so control characters, which a terminal obeys,
// and characters that hide or reorder others become escape sequences such as \x1b. Line breaks and tabs stay.
func printable(text string) string {
	var b strings.Builder
	for _, r := range text {
		if r == '\n' || r == '\t' || unicode.IsPrint(r) {
			b.WriteRune(r)
			continue
		}
		b.WriteString(strings.Trim(strconv.QuoteRuneToASCII(r), "'"))
	}
	return b.String()
}

// printableLine is printable for text that must not begin a line of its own.
func printableLine(text string) string { return printable(strings.Join(strings.Fields(text), " ")) }

// printableFinding returns a finding for a terminal.
func printableFinding(f doctor.Finding) doctor.Finding {
	f.Object, f.Message, f.Fix = printableLine(f.Object), printableLine(f.Message), printable(f.Fix)
	return f
}

// printableUnread returns what could not be read for a terminal.
func printableUnread(u doctor.Unread) doctor.Unread {
	u.Resource, u.Reason, u.Consequence = printableLine(u.Resource), printableLine(u.Reason), printableLine(u.Consequence)
	return u
}
