// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const (
	// indexTimeout bounds the look at the list of downloads: a machine without internet shall not wait longer.
	indexTimeout = 15 * time.Second
	// downloadTimeout bounds the download of some 100 MB.
	downloadTimeout = 10 * time.Minute
)

// download fetches published programs. Not every patch release is published, so the newest one of the same minor is.
func (p *preparation) download(ctx context.Context, names []string) error {
	series := p.version[:strings.LastIndex(p.version, ".")] + ".x"
	p.say("looking for a download of %s (Kubernetes %s)", strings.Join(names, ", "), series)
	// Compiles setup-envtest, so that only the network is left for the timeouts to judge.
	if _, err := p.setupEnvtest(ctx, "version"); err != nil {
		return err
	}
	store, err := os.MkdirTemp(p.dir, ".download-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(store) }()

	flags := []string{"--bin-dir", store, "-p", "path"}
	if p.index != "" {
		flags = append(flags, "--index", p.index)
	}
	listing, err := p.limited(ctx, indexTimeout, append([]string{"list", series}, flags...)...)
	if err != nil {
		return err
	}
	if !strings.Contains(string(listing), "available") {
		return errors.New("none is published for this version and platform")
	}
	p.say("downloading; this takes about a minute, once")
	folder, err := p.limited(ctx, downloadTimeout, append([]string{"use", series}, flags...)...)
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

func (p *preparation) limited(ctx context.Context, limit time.Duration, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return p.setupEnvtest(ctx, args...)
}

func (p *preparation) setupEnvtest(ctx context.Context, args ...string) ([]byte, error) {
	tool := []string{"tool", "-modfile=hack/tools/go.mod", "setup-envtest"}
	return p.goCommand(ctx, p.root, append(tool, args...)...)
}
