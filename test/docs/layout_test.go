// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"os"
	"path"
	"path/filepath"
	"slices"
	"testing"
)

// The layout in CONTRIBUTING.md has every folder of packages, and none that does not exist.
func TestLayout(t *testing.T) {
	listed := rows(t, "CONTRIBUTING.md", "Find the code", "`([a-z0-9/-]+)/`")
	for _, folder := range listed {
		if _, err := os.Stat(filepath.Join(repository(t), folder)); err != nil {
			t.Errorf("CONTRIBUTING.md lists %s: %v", folder, err)
		}
	}
	for _, parent := range []string{"cmd", "controllers", "internal", "test"} {
		entries, err := os.ReadDir(filepath.Join(repository(t), parent))
		must(t, err)
		for _, entry := range entries {
			if folder := path.Join(parent, entry.Name()); entry.IsDir() && !slices.Contains(listed, folder) {
				t.Errorf("CONTRIBUTING.md does not list %s", folder)
			}
		}
	}
}
