// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package chart

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stscredential/sts-credential-operator/test/docs"
)

// What the pages give to paste about Helm works as it stands, each page from top to bottom on a cluster of its own.
func TestHelmPages(t *testing.T) {
	for _, path := range []string{
		"README.md", "docs/agent.md", "docs/install.md", "docs/operations.md", "docs/private-networks.md", "charts/sts-credential-operator/README.md",
	} {
		t.Run(path, func(t *testing.T) {
			page, err := docs.Read(root, path)
			if err != nil {
				t.Fatal(err)
			}
			t.Parallel()
			version, err := helm(t, "", "version", "--short")
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(version, "v3.") && strings.HasPrefix(path, "charts/") {
				t.Skip("the page has --force-conflicts, which is of Helm 4")
			}
			c := newCluster(t)
			if path == "docs/agent.md" && !c.serves("admissionregistration.k8s.io/v1") {
				t.Skip("this Kubernetes has no MutatingAdmissionPolicy")
			}
			if err := page.Play(t.Context(), c.reader(), "TestHelmPages"); err != nil {
				t.Error(err)
			}
		})
	}
}

// reader is somebody in the repository's root, with Helm and kubectl. Files stay out of the repository.
func (c *cluster) reader() docs.Shell {
	c.Helper()
	binary, err := helmBinary()
	c.must(err)
	home, dir := c.TempDir(), c.TempDir()
	c.must(os.Symlink(binary, filepath.Join(home, "helm")))
	c.must(docs.Scratch(root, dir))
	return docs.Shell{Dir: dir, Env: []string{
		"PATH=" + home + ":" + c.programs + ":" + os.Getenv("PATH"), "HOME=" + home, "KUBECONFIG=" + c.kubeconfig,
	}}
}
