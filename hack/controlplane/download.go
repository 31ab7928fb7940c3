// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// downloadTimeout bounds the download of some 100 MB. A machine without internet fails sooner: on the first connection.
const downloadTimeout = 10 * time.Minute

// download fetches published programs. Not every patch release is published, so the newest one of the same minor is.
func (p *preparation) download(ctx context.Context, names []string) error {
	series := p.version[:strings.LastIndex(p.version, ".")] + ".x"
	p.say("looking for a download of %s (Kubernetes %s); it takes about a minute, once", strings.Join(names, ", "), series)
	store, err := os.MkdirTemp(p.dir, ".download-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(store) }()
	args := []string{"tool", "-modfile=hack/tools/go.mod", "setup-envtest", "use", series, "--bin-dir", store, "-p", "path"}
	if p.index != "" {
		args = append(args, "--index", p.index)
	}
	ctx, cancel := context.WithTimeout(ctx, downloadTimeout)
	defer cancel()
	folder, err := p.goCommand(ctx, p.root, args...)
	if err != nil {
		return err
	}
	from := filepath.Clean(strings.TrimSpace(string(folder)))
	// setup-envtest leaves its folders read-only, which forbids to move files out of them.
	if err := os.Chmod(from, 0o750); err != nil {
		return err
	}
	return p.adopt(from, names)
}

// downloadFailure says in one line why nothing was downloaded. Errors of setup-envtest hold several lines of its log.
func downloadFailure(err error) string {
	for _, text := range []string{"no such host", "dial tcp", "connection refused", "network is unreachable", "i/o timeout", "TLS handshake timeout", "context deadline exceeded", "signal: killed"} {
		if strings.Contains(err.Error(), text) {
			return "the list of downloads cannot be reached from here"
		}
	}
	lines := strings.Split(strings.TrimSpace(err.Error()), "\n")
	return strings.TrimSpace(lines[len(lines)-1])
}
