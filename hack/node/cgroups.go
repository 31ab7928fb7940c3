// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

const cgroups = "/sys/fs/cgroup"

// makeCgroups makes the node's part of every hierarchy, below which the kubelet stays.
func (c *Cluster) makeCgroups() error {
	for _, root := range hierarchies() {
		if err := os.MkdirAll(filepath.Join(root, c.slot.Name), 0o750); err != nil {
			return err
		}
	}
	return nil
}

// removeCgroups waits until the processes in them, which were killed, are gone.
func (c *Cluster) removeCgroups() error {
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		var errs []error
		for _, root := range hierarchies() {
			errs = append(errs, removeCgroup(filepath.Join(root, c.slot.Name)))
		}
		if err := errors.Join(errs...); err == nil || time.Now().After(deadline) {
			return err
		}
	}
}

// removeCgroup removes a cgroup, its children first. Its files cannot be removed, and need not be.
func removeCgroup(path string) error {
	var folders []string
	err := filepath.WalkDir(path, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			folders = append(folders, path)
		}
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, folder := range slices.Backward(folders) {
		if err := syscall.Rmdir(folder); err != nil {
			return fmt.Errorf("remove %s: %w", folder, err)
		}
	}
	return err
}

// hierarchies are the roots of cgroups: one in version 2, one for each controller in version 1.
func hierarchies() []string {
	if _, err := os.Stat(filepath.Join(cgroups, "cgroup.controllers")); err == nil {
		return []string{cgroups}
	}
	entries, _ := filepath.Glob(filepath.Join(cgroups, "*", "cgroup.procs"))
	var roots []string
	for _, entry := range entries {
		// cpu and cpuacct may be links to one hierarchy.
		if root, err := filepath.EvalSymlinks(filepath.Dir(entry)); err == nil && !slices.Contains(roots, root) {
			roots = append(roots, root)
		}
	}
	return roots
}
