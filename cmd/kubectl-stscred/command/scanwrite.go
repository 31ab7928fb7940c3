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

// writeFiles writes new files. It writes none if one of them exists.
func (o *options) writeFiles(directory string, files map[string][]byte) error {
	paths := slices.Sorted(maps.Keys(files))
	for _, path := range paths {
		if _, err := os.Lstat(filepath.Join(directory, filepath.FromSlash(path))); !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("file %q exists in %q. Remove it, or name a new directory", path, directory)
		}
	}
	for _, path := range paths {
		if err := writeNew(filepath.Join(directory, filepath.FromSlash(path)), files[path]); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(o.ErrOut, "Wrote %d files to %s. Go on with %s.\n", len(files), directory, filepath.Join(directory, "README.md"))
	return err
}

func writeNew(path string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	return errors.Join(err, f.Close())
}
