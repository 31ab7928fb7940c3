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
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
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

// ImportFiles imports an image of that name which holds files of this machine, given by their paths in the image. A folder
// brings the files below it, without links. The image runs the entrypoint, as a user without rights.
func (c *Cluster) ImportFiles(ctx context.Context, image string, entrypoint []string, paths map[string]string) error {
	var content []file
	for name, path := range paths {
		err := filepath.WalkDir(path, func(below string, entry fs.DirEntry, err error) error {
			if err != nil || !entry.Type().IsRegular() {
				return err
			}
			found, err := readFile(path, below, name)
			content = append(content, found)
			return err
		})
		if err != nil {
			return err
		}
	}
	slices.SortFunc(content, func(a, b file) int { return strings.Compare(a.name, b.name) })
	var archive bytes.Buffer
	if err := writeImage(&archive, image, entrypoint, content...); err != nil {
		return err
	}
	return c.ImportImage(ctx, &archive)
}

// readFile reads a file of the folder path, or path itself, which is name in the image.
func readFile(path, below, name string) (file, error) {
	relative, err := filepath.Rel(path, below)
	if err != nil {
		return file{}, err
	}
	info, err := os.Stat(below)
	if err != nil {
		return file{}, err
	}
	content, err := os.ReadFile(below)
	return file{strings.TrimPrefix(filepath.Join(name, relative), "/"), int64(info.Mode().Perm()) | 0o444, content}, err
}

// ImportImage gives the node the images of an archive, such as docker save writes.
func (c *Cluster) ImportImage(ctx context.Context, archive io.Reader) error {
	cmd := c.command(ctx, "ctr", "--namespace", "k8s.io", "images", "import", "-")
	cmd.Stdin = archive
	return output(cmd)
}

// writeImage writes an image of one layer as docker save would:
// https://github.com/moby/docker-image-spec/blob/main/v1.2.md
func writeImage(w io.Writer, image string, entrypoint []string, content ...file) error {
	var layer bytes.Buffer
	if err := writeTar(&layer, content...); err != nil {
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
