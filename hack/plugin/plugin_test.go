// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package plugin tests the script that packs the kubectl plugin.
package plugin

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

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

// platforms are the operating systems and architectures that a release has.
var platforms = []platform{
	{"darwin", "amd64"}, {"darwin", "arm64"}, {"linux", "amd64"}, {"linux", "arm64"}, {"windows", "amd64"}, {"windows", "arm64"},
}

type platform struct{ os, arch string }

func (p platform) archive() string {
	if p.os == "windows" {
		return "kubectl-stscred_v1.2.3_" + p.os + "_" + p.arch + ".zip"
	}
	return "kubectl-stscred_v1.2.3_" + p.os + "_" + p.arch + ".tar.gz"
}

// compiler stands for the go command. It writes a program that contains only its platform.
const compiler = `#!/bin/sh
while [ "$1" != -o ]; do shift; done
printf %s "$GOOS$GOARCH" >"$2"
chmod 0755 "$2"
`

// pack runs the script for a release v1.2.3, and returns the folder that it fills.
func pack(t *testing.T, chosen ...string) (folder string, err error) {
	t.Helper()
	programs, folder := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(programs, "go"), []byte(compiler), 0o700); err != nil {
		t.Fatal(err)
	}
	script := exec.CommandContext(t.Context(), "./pack.sh", append([]string{folder}, chosen...)...)
	script.Env = append(os.Environ(), "PATH="+programs+":"+os.Getenv("PATH"), "VERSION=v1.2.3", "COMMIT=c")
	output, err := script.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%w: %s", err, output)
	}
	return folder, err
}

// packed is a release of all platforms.
func packed(t *testing.T) string {
	t.Helper()
	folder, err := pack(t)
	if err != nil {
		t.Fatal(err)
	}
	return folder
}

// The manifest has each platform once, and krew finds what it names.
func TestManifest(t *testing.T) {
	folder := packed(t)
	var m manifest
	decoder := yaml.NewDecoder(bytes.NewReader(read(t, folder, "stscred.yaml")))
	decoder.KnownFields(true)
	if err := decoder.Decode(&m); err != nil {
		t.Fatal(err)
	}
	if m.APIVersion != "krew.googlecontainertools.github.com/v1alpha2" || m.Kind != "Plugin" || m.Metadata.Name != "stscred" || m.Spec.Version != "v1.2.3" {
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
		if archive != is.archive() || !strings.HasSuffix(path.Dir(p.URI), "/releases/download/v1.2.3") {
			t.Errorf("%v: URL %s", is, p.URI)
		}
		content := read(t, folder, archive)
		if sum := sha256.Sum256(content); p.SHA256 != hex.EncodeToString(sum[:]) {
			t.Errorf("%s: SHA-256 %s", archive, p.SHA256)
		}
		files := unpack(t, archive, content)
		if files[p.Bin] != is.os+is.arch || (p.Bin == "kubectl-stscred.exe") != (is.os == "windows") || files["LICENSE"] == "" {
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
	var sums strings.Builder
	for _, p := range platforms {
		content := read(t, first, p.archive())
		if !bytes.Equal(content, read(t, second, p.archive())) {
			t.Errorf("%s differs between two runs", p.archive())
		}
		fmt.Fprintf(&sums, "%x  %s\n", sha256.Sum256(content), p.archive())
	}
	if got := string(read(t, first, "checksums.txt")); got != sums.String() {
		t.Errorf("checksums.txt is\n%s, want\n%s", got, sums.String())
	}
}

// A choice of platforms gives only their archives, and no manifest.
func TestChoice(t *testing.T) {
	folder, err := pack(t, "windows/arm64,linux/amd64")
	if err != nil {
		t.Fatal(err)
	}
	entries, err := filepath.Glob(filepath.Join(folder, "*"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, entry := range entries {
		names = append(names, filepath.Base(entry))
	}
	if want := []string{"checksums.txt", platform{"linux", "amd64"}.archive(), platform{"windows", "arm64"}.archive()}; !slices.Equal(names, want) {
		t.Errorf("got %v, want %v", names, want)
	}
	if _, err := pack(t, "linux/amd64,plan9/amd64"); err == nil || !strings.Contains(err.Error(), `no platform "plan9/amd64"`) {
		t.Errorf("got %v for a platform that a release does not have", err)
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

// unpack returns the files of an archive by name. They must be root's, and bear the time of the commit.
func unpack(t *testing.T, name string, content []byte) map[string]string {
	t.Helper()
	files := map[string]string{}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	output, err := exec.CommandContext(t.Context(), "git", "log", "-1", "--format=%ct").Output()
	must(err)
	committed, err := strconv.ParseInt(strings.TrimSpace(string(output)), 10, 64)
	must(err)
	if strings.HasSuffix(name, ".zip") {
		archive, err := zip.NewReader(bytes.NewReader(content), int64(len(content)))
		must(err)
		for _, f := range archive.File {
			if f.Modified.Unix() != committed {
				t.Errorf("%s: %s has time %s", name, f.Name, f.Modified)
			}
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
		if header.Typeflag == tar.TypeXGlobalHeader {
			continue // it names the commit
		}
		if header.Uid != 0 || header.Uname != "root" || header.ModTime.Unix() != committed {
			t.Errorf("%s: %s has owner %d %s and time %s", name, header.Name, header.Uid, header.Uname, header.ModTime)
		}
		raw, err := io.ReadAll(archive)
		must(err)
		files[header.Name] = string(raw)
	}
}
