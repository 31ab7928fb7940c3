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
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
)

// ImportProgram builds a Go package, given as its folder from the repository's root, and imports an image of that name
// which holds nothing else. It runs as a user without rights.
func (c *Cluster) ImportProgram(ctx context.Context, image, pkg string) error {
	program := filepath.Join(c.dir, filepath.Base(pkg))
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", program, ".")
	build.Dir = filepath.Join(c.root, pkg) // it may be in another module than this
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w: %s", pkg, err, out)
	}
	content, err := os.ReadFile(program)
	if err != nil {
		return err
	}
	var archive bytes.Buffer
	if err := writeImage(&archive, image, filepath.Base(pkg), content); err != nil {
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

// writeImage writes an image with one program as docker save would:
// https://github.com/moby/docker-image-spec/blob/main/v1.2.md
func writeImage(w io.Writer, image, name string, program []byte) error {
	var layer bytes.Buffer
	if err := writeTar(&layer, file{name, 0o755, program}); err != nil {
		return err
	}
	sum := sha256.Sum256(layer.Bytes())
	config, err := json.Marshal(map[string]any{
		"architecture": runtime.GOARCH,
		"os":           "linux",
		"config":       map[string]any{"Entrypoint": []string{"/" + name}, "User": "65532:65532"},
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
	return writeTar(w,
		file{"config.json", 0o644, config},
		file{"layer.tar", 0o644, layer.Bytes()},
		file{"manifest.json", 0o644, manifest},
	)
}

type file struct {
	name    string
	mode    int64
	content []byte
}

func writeTar(w io.Writer, files ...file) error {
	archive := tar.NewWriter(w)
	for _, f := range files {
		header := &tar.Header{Name: f.name, Mode: f.mode, Size: int64(len(f.content)), Typeflag: tar.TypeReg}
		if err := archive.WriteHeader(header); err != nil {
			return err
		}
		if _, err := archive.Write(f.content); err != nil {
			return err
		}
	}
	return archive.Close()
}
