// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package command

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

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
