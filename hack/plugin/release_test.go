// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

// manifest is what krew reads of a plugin's manifest.
type manifest struct {
	APIVersion string `yaml:"apiVersion"`
	Kind       string `yaml:"kind"`
	Metadata   struct {
		Name string `yaml:"name"`
	} `yaml:"metadata"`
	Spec struct {
		Version          string `yaml:"version"`
		Homepage         string `yaml:"homepage"`
		ShortDescription string `yaml:"shortDescription"`
		Description      string `yaml:"description"`
		Platforms        []struct {
			Selector struct {
				MatchLabels map[string]string `yaml:"matchLabels"`
			} `yaml:"selector"`
			URI    string `yaml:"uri"`
			SHA256 string `yaml:"sha256"`
			Bin    string `yaml:"bin"`
		} `yaml:"platforms"`
	} `yaml:"spec"`
}

// packed is a release of programs that are empty but for their platform.
func packed(t *testing.T) *release {
	t.Helper()
	r := &release{version: "v1.2.3", dist: t.TempDir(), time: time.Unix(1700000000, 0).UTC(), license: []byte("license\n")}
	for _, p := range platforms {
		if err := r.add(p, []byte(p.os+p.arch)); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.finish("../../.krew.yaml"); err != nil {
		t.Fatal(err)
	}
	return r
}

// The manifest has each platform once, and krew finds what it names.
func TestManifest(t *testing.T) {
	r := packed(t)
	var m manifest
	decoder := yaml.NewDecoder(bytes.NewReader(read(t, r.dist, "stscred.yaml")))
	decoder.KnownFields(true)
	if err := decoder.Decode(&m); err != nil {
		t.Fatal(err)
	}
	if m.APIVersion != "krew.googlecontainertools.github.com/v1alpha2" || m.Kind != "Plugin" || m.Metadata.Name != "stscred" || m.Spec.Version != r.version {
		t.Errorf("%s %s %s %s", m.APIVersion, m.Kind, m.Metadata.Name, m.Spec.Version)
	}
	// Krew's index accepts at most 50 characters.
	if m.Spec.Homepage == "" || m.Spec.Description == "" || m.Spec.ShortDescription == "" || len(m.Spec.ShortDescription) > 50 {
		t.Errorf("homepage %q, descriptions %q and %q", m.Spec.Homepage, m.Spec.ShortDescription, m.Spec.Description)
	}
	var found []platform
	for _, p := range m.Spec.Platforms {
		is := platform{p.Selector.MatchLabels["os"], p.Selector.MatchLabels["arch"]}
		found = append(found, is)
		archive := path.Base(p.URI)
		if archive != r.archive(is) || !strings.HasSuffix(path.Dir(p.URI), "/releases/download/"+r.version) {
			t.Errorf("%v: URL %s", is, p.URI)
		}
		content := read(t, r.dist, archive)
		if sum := sha256.Sum256(content); p.SHA256 != hex.EncodeToString(sum[:]) {
			t.Errorf("%s: SHA-256 %s", archive, p.SHA256)
		}
		files := unpack(t, archive, content)
		if files[p.Bin] != is.os+is.arch || p.Bin != is.program() || files["LICENSE"] == "" {
			t.Errorf("%s: bin %q of %v", archive, p.Bin, files)
		}
	}
	if !slices.Equal(found, platforms) {
		t.Errorf("platforms %v, want %v", found, platforms)
	}
}

// checksums.txt has each archive, and the same programs give the same archives.
func TestReproducible(t *testing.T) {
	first, second := packed(t), packed(t)
	for _, p := range platforms {
		name := first.archive(p)
		if !bytes.Equal(read(t, first.dist, name), read(t, second.dist, name)) {
			t.Errorf("%s differs between two runs", name)
		}
		if line := first.sums[name] + "  " + name + "\n"; !strings.Contains(string(read(t, first.dist, "checksums.txt")), line) {
			t.Errorf("checksums.txt does not have %s", name)
		}
	}
}

func read(t *testing.T, dir, name string) []byte {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// unpack returns the files of an archive by name. Those of a tar must have no owner, and the time of the release.
func unpack(t *testing.T, name string, content []byte) map[string]string {
	t.Helper()
	files := map[string]string{}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	if strings.HasSuffix(name, ".zip") {
		archive, err := zip.NewReader(bytes.NewReader(content), int64(len(content)))
		must(err)
		for _, f := range archive.File {
			opened, err := f.Open()
			must(err)
			raw, err := io.ReadAll(opened)
			must(err)
			files[f.Name] = string(raw)
		}
		return files
	}
	unzipped, err := gzip.NewReader(bytes.NewReader(content))
	must(err)
	for archive := tar.NewReader(unzipped); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		must(err)
		if header.Uid != 0 || header.Uname != "" || header.ModTime.Unix() != 1700000000 {
			t.Errorf("%s: %s has owner %d %s and time %s", name, header.Name, header.Uid, header.Uname, header.ModTime)
		}
		raw, err := io.ReadAll(archive)
		must(err)
		files[header.Name] = string(raw)
	}
}
