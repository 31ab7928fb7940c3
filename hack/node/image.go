// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
)

// ImportProgram builds a Go package, given as its folder from the repository's root, and imports an image of that name
// which holds nothing else. It runs as a user without rights.
func (c *Cluster) ImportProgram(ctx context.Context, image, pkg string) error {
	program, err := c.Build(ctx, pkg)
	if err != nil {
		return err
	}
	name := "/" + filepath.Base(pkg)
	return c.ImportFiles(ctx, image, []string{name}, map[string]string{name: program})
}

// Build builds a Go package, given as its folder from the repository's root, and returns the path of the static program.
func (c *Cluster) Build(ctx context.Context, pkg string) (string, error) {
	program := filepath.Join(c.dir, filepath.Base(pkg))
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", program, ".")
	build.Dir = filepath.Join(c.root, pkg) // it may be in another module than this
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w: %s", pkg, err, out)
	}
	return program, nil
}

// ImportFiles imports an image of that name which holds copies of files and folders of this machine, given by their paths in
// the image. The image runs the entrypoint, as a user without rights.
func (c *Cluster) ImportFiles(ctx context.Context, image string, entrypoint []string, paths map[string]string) error {
	root, err := os.MkdirTemp(c.dir, "image-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(root) }()
	for name, path := range paths {
		target := filepath.Join(root, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(target), 0o750), run(ctx, "cp", "--recursive", path, target)); err != nil {
			return err
		}
	}
	if err := run(ctx, "chmod", "--recursive", "a+rX", root); err != nil {
		return err
	}
	var archive bytes.Buffer
	if err := writeImage(&archive, image, entrypoint, os.DirFS(root)); err != nil {
		return err
	}
	return c.ImportImage(ctx, &archive)
}

// ImportImage gives the node the images of an archive, such as docker save writes.
func (c *Cluster) ImportImage(ctx context.Context, archive io.Reader) error {
	cmd := c.command(ctx, "ctr", "--namespace", "k8s.io", "images", "import", "-")
	cmd.Stdin = archive
	return output(cmd)
}

// writeImage writes an image of one layer as docker save would:
// https://github.com/moby/docker-image-spec/blob/main/v1.2.md
func writeImage(w io.Writer, image string, entrypoint []string, files fs.FS) error {
	var layer bytes.Buffer
	tarred := tar.NewWriter(&layer)
	if err := errors.Join(tarred.AddFS(files), tarred.Close()); err != nil {
		return err
	}
	sum := sha256.Sum256(layer.Bytes())
	config, err := json.Marshal(map[string]any{
		"architecture": runtime.GOARCH,
		"os":           "linux",
		"config":       map[string]any{"Entrypoint": entrypoint, "User": "65532:65532"},
		"rootfs":       map[string]any{"type": "layers", "diff_ids": []string{"sha256:" + hex.EncodeToString(sum[:])}},
	})
	if err != nil {
		return err
	}
	manifest, err := json.Marshal([]map[string]any{
		{"Config": "config.json", "RepoTags": []string{image}, "Layers": []string{"layer.tar"}},
	})
	if err != nil {
		return err
	}
	archive := tar.NewWriter(w)
	return errors.Join(
		writeFile(archive, "config.json", config),
		writeFile(archive, "layer.tar", layer.Bytes()),
		writeFile(archive, "manifest.json", manifest),
		archive.Close(),
	)
}

func writeFile(archive *tar.Writer, name string, content []byte) error {
	if err := archive.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(content))}); err != nil {
		return err
	}
	_, err := archive.Write(content)
	return err
}
