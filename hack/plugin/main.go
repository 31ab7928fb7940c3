// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command plugin builds the archives of the kubectl plugin, with their checksums and a manifest for krew. The same sources give
// the same archives: they bear the time SOURCE_DATE_EPOCH, and no user, path or build ID.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// platforms are the operating systems and architectures that a release has.
var platforms = []platform{
	{"darwin", "amd64"}, {"darwin", "arm64"}, {"linux", "amd64"}, {"linux", "arm64"}, {"windows", "amd64"}, {"windows", "arm64"},
}

func main() {
	var r release
	root := flag.String("root", "..", "Root of the repository.")
	flag.StringVar(&r.dist, "dist", "../dist", "Folder for the archives.")
	flag.StringVar(&r.version, "version", "dev", "Version of the plugin.")
	flag.StringVar(&r.commit, "commit", "unknown", "Commit of the plugin.")
	flag.Usage = func() {
		_, _ = fmt.Fprintln(flag.CommandLine.Output(), "usage: plugin [FLAG...] [OS/ARCH,...]   all platforms of a release by default")
		flag.PrintDefaults()
	}
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := r.make(ctx, *root, strings.FieldsFunc(flag.Arg(0), func(c rune) bool { return c == ',' }))
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "plugin:", err)
		os.Exit(1)
	}
}

// make builds and packs the plugin for the chosen platforms, or for all.
func (r *release) make(ctx context.Context, root string, chosen []string) error {
	seconds, err := strconv.ParseInt(os.Getenv("SOURCE_DATE_EPOCH"), 10, 64)
	if err != nil {
		return fmt.Errorf("SOURCE_DATE_EPOCH must be a number of seconds: %w", err)
	}
	r.time = time.Unix(seconds, 0).UTC()
	if r.license, err = os.ReadFile(filepath.Join(root, "LICENSE")); err != nil {
		return err
	}
	if err := os.MkdirAll(r.dist, 0o750); err != nil {
		return err
	}
	wanted, err := selected(chosen)
	if err != nil {
		return err
	}
	for _, p := range wanted {
		program, err := r.build(ctx, root, p)
		if err != nil {
			return err
		}
		if err := r.add(p, program); err != nil {
			return err
		}
	}
	return r.finish(filepath.Join(root, ".krew.yaml"))
}

// selected returns the platforms that names such as linux/amd64 choose; all without names.
func selected(names []string) ([]platform, error) {
	if len(names) == 0 {
		return platforms, nil
	}
	var chosen []platform
	for _, name := range names {
		i := slices.IndexFunc(platforms, func(p platform) bool { return p.String() == name })
		if i < 0 {
			return nil, fmt.Errorf("a release has no platform %q. Write one of %v", name, platforms)
		}
		chosen = append(chosen, platforms[i])
	}
	return chosen, nil
}

// build returns the plugin for a platform.
func (r *release) build(ctx context.Context, root string, p platform) ([]byte, error) {
	dir, err := os.MkdirTemp("", "kubectl-stscred-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	path := filepath.Join(dir, p.program())
	stamp := fmt.Sprintf("-s -w -X main.version=%s -X main.commit=%s", r.version, r.commit)
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", stamp, "-o", path, "./cmd/kubectl-stscred")
	cmd.Dir, cmd.Stdout, cmd.Stderr = root, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+p.os, "GOARCH="+p.arch)
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("build for %s: %w", p, err)
	}
	return os.ReadFile(path)
}
