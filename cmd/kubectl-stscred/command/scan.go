// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/stscredential/sts-credential-operator/cmd/kubectl-stscred/scan"
)

type scanFlags struct {
	all      bool
	selector string
	generate string
	force    bool
	output   *outputFormat
}

// newScan returns the command that finds long-term AccessKeys.
func newScan(o *options) *cobra.Command {
	var f scanFlags
	c := &cobra.Command{
		Use:   "scan",
		Short: "Find long-term AccessKeys in Secrets, ConfigMaps and workloads",
		Long: "Find long-term AccessKeys (LTAI…) in Secrets, ConfigMaps and workloads, and the workloads that read them.\n" +
			"Of an AccessKey, only the last four characters of its ID are shown.\n" +
			"Exit status: 0 if there is none, 1 if there are any, 2 if none was found but something could not be read.",
		Args: noArguments,
		Example: `  # The AccessKeys in all namespaces
  kubectl stscred scan -A

  # Which container reads them, and how
  kubectl stscred scan -n shop -o wide

  # Write StsCredentials, grants and patches that replace them
  kubectl stscred scan -n shop --generate migration`,
		RunE: func(c *cobra.Command, _ []string) error { return o.scan(c.Context(), f) },
	}
	c.Flags().BoolVarP(&f.all, "all-namespaces", "A", false, "Scan all namespaces.")
	c.Flags().StringVarP(&f.selector, "selector", "l", "", "Scan only objects whose labels match, such as team=shop.")
	c.Flags().StringVar(&f.generate, "generate", "", "Write StsCredentials, StsRoleGrants and patches to this directory, which must be empty or new.")
	c.Flags().BoolVar(&f.force, "force", false, "With --generate, write to a directory that is not empty. Existing files are never overwritten.")
	f.output = outputFlag(c)
	return c
}

func (o *options) scan(ctx context.Context, f scanFlags) error {
	namespace, err := o.namespace(f.all)
	if err != nil {
		return err
	}
	s := scan.New()
	if s.Selector, err = labels.Parse(f.selector); err != nil {
		return fmt.Errorf("--selector %q is not a label selector: %w. Write -l name=value", f.selector, err)
	}
	if f.force && f.generate == "" {
		return errors.New("--force is for --generate only. Add --generate DIRECTORY")
	}
	if err := checkDirectory(f.generate, f.force); err != nil {
		return err
	}
	if err := o.read(ctx, s, namespace); err != nil {
		return err
	}
	report := s.Report()
	if err := o.print(*f.output, report, func(w io.Writer, wide bool) error { return o.printScan(w, report, wide) }); err != nil {
		return err
	}
	if f.generate != "" && len(report.Findings) > 0 {
		if err := o.writeFiles(f.generate, s.Generate()); err != nil {
			return err
		}
	}
	switch {
	case len(report.Findings) > 0:
		return &ExitError{Status: ExitFindings}
	case len(report.Unread) > 0:
		return &ExitError{Status: ExitNotChecked}
	}
	return nil
}

// printScan prints the findings as a table, and on the standard error what could not be read.
func (o *options) printScan(w io.Writer, r scan.Report, wide bool) error {
	for _, u := range r.Unread {
		_, _ = fmt.Fprintf(o.ErrOut, "%s %s: %s. Not checked: %s.\n", o.style().unknown(), u.Resource, u.Reason, u.Consequence)
	}
	if len(r.Findings) == 0 {
		text := "No long-term AccessKey found."
		if len(r.Unread) > 0 {
			text = "No long-term AccessKey found in what could be read."
		}
		_, err := fmt.Fprintln(o.ErrOut, text)
		return err
	}
	table := &metav1.Table{}
	for _, name := range []string{"Namespace", "Object", "Place", "AccessKey ID", "Secret", "Read by", "Note"} {
		table.ColumnDefinitions = append(table.ColumnDefinitions, metav1.TableColumnDefinition{Name: name, Type: "string"})
	}
	for _, f := range r.Findings {
		place, secret, note := f.Place, "no", f.Note
		if f.Path != "" {
			place += ": " + f.Path
		}
		if f.HasSecret {
			secret = "yes"
		}
		if note == "" {
			note = "-"
		}
		table.Rows = append(table.Rows, metav1.TableRow{Cells: []any{
			f.Object.Namespace, f.Object.String(), place, "…" + f.LastFour, secret, readBy(f, wide), note,
		}})
	}
	return printTable(w, table, wide)
}

// readBy names the workloads that read a finding, and in a wide table their containers and variables or paths.
func readBy(f scan.Finding, wide bool) string {
	var words []string
	for _, r := range f.Readers {
		word := r.Workload.String() + " (" + r.How + ")"
		if wide {
			word = strings.TrimSpace(r.Workload.String()+" "+r.Container) + " (" + strings.TrimSpace(r.How+" "+r.At) + ")"
		}
		if !slices.Contains(words, word) {
			words = append(words, word)
		}
	}
	switch {
	case len(words) == 0:
		return "-"
	case f.MoreReaders > 0:
		words[len(words)-1] += fmt.Sprintf(" and %d more", f.MoreReaders)
	}
	return strings.Join(words, ", ")
}

// checkDirectory refuses a directory that is not empty, unless force is set. An empty name is none.
func checkDirectory(directory string, force bool) error {
	if directory == "" {
		return nil
	}
	entries, err := os.ReadDir(directory)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("--generate: %w", err)
	case len(entries) > 0 && !force:
		return fmt.Errorf("directory %q is not empty. Name a new one, or add --force, which keeps existing files", directory)
	}
	return nil
}

// writeFiles writes new files below a directory. It writes none if one of them exists.
func (o *options) writeFiles(directory string, files map[string][]byte) error {
	if err := os.MkdirAll(directory, 0o750); err != nil {
		return err
	}
	root, err := os.OpenRoot(directory)
	if err != nil {
		return err
	}
	if err := errors.Join(writeNew(root, files), root.Close()); err != nil {
		return err
	}
	_, err = fmt.Fprintf(o.ErrOut, "Wrote %d files to %s. Go on with %s.\n", len(files), directory, filepath.Join(directory, "README.md"))
	return err
}

// writeNew writes new files below a directory. If one of them fails, the others are removed.
func writeNew(root *os.Root, files map[string][]byte) error {
	paths := slices.Sorted(maps.Keys(files))
	for _, name := range paths {
		switch _, err := root.Lstat(filepath.FromSlash(name)); {
		case err == nil:
			return fmt.Errorf("file %q exists in %q. Remove it, or name a new directory", name, root.Name())
		case !errors.Is(err, fs.ErrNotExist):
			return fmt.Errorf("file %q cannot be written: %w. Name a new directory", name, err)
		}
	}
	for i, name := range paths {
		if err := writeFile(root, filepath.FromSlash(name), files[name]); err != nil {
			for _, written := range paths[:i] {
				err = errors.Join(err, root.Remove(filepath.FromSlash(written)))
			}
			return err
		}
	}
	return nil
}

// writeFile writes a new file, and leaves none if that fails.
func writeFile(root *os.Root, name string, content []byte) error {
	if err := root.MkdirAll(filepath.Dir(name), 0o750); err != nil {
		return err
	}
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if _, err = f.Write(content); err != nil {
		return errors.Join(err, f.Close(), root.Remove(name))
	}
	return f.Close()
}
