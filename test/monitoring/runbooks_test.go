// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package monitoring

import (
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stscredential/sts-credential-operator/test/monitoring/environment"
)

var (
	// shell are the blocks that can be pasted, with the indentation of a list that they stand in.
	shell = regexp.MustCompile("(?ms)^( *)```sh\n(.*?)^ *```$")
	// needsNode are commands that need a kubelet.
	needsNode = regexp.MustCompile(`(?m)^.*kubectl (-n \S+ )?(logs|exec) .*$`)
)

// runbooks: their commands work as they are written, except those that need a node.
func (l *live) runbooks(t *testing.T) {
	l.kubectl("apply", "-f", "config/manager/manager.yaml")
	l.kubectl("-n", environment.Namespace, "create", "deployment", "orders", "--image=orders")
	l.kubectl("-n", "sts-system", "create", "-f", filepath.Join("test", "monitoring", "testdata", "lease.yaml"))
	pages, err := filepath.Glob(filepath.Join(root, "docs", "runbooks", "StsCredential*.md"))
	must(t, err)
	for _, page := range pages {
		name := filepath.Base(page)
		t.Run(name, func(t *testing.T) {
			l.kubectl("-n", environment.Namespace, "patch", "stscredential", "orders-reader", "--type=merge", `--patch={"spec":{"suspend":false}}`)
			script := "set -e -o pipefail\n"
			for _, block := range shell.FindAllStringSubmatch(read(t, "docs", "runbooks", name), -1) {
				script += regexp.MustCompile("(?m)^"+block[1]).ReplaceAllString(block[2], "")
			}
			if output, err := l.Command(t.Context(), "bash", "-x", "-c", needsNode.ReplaceAllString(script, "true")).CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, output)
			}
		})
	}
}
