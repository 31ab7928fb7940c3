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
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"text/template"
	"time"
)

// platform is an operating system and an architecture, by Go's names.
type platform struct{ os, arch string }

func (p platform) String() string { return p.os + "/" + p.arch }

// program returns the file name of the plugin.
func (p platform) program() string {
	if p.os == "windows" {
		return "kubectl-stscred.exe"
	}
	return "kubectl-stscred"
}

// release is the archives of one version.
type release struct {
	version, commit, dist string
	time                  time.Time // that files in archives bear
	license               []byte
	sums                  map[string]string // SHA-256 by the archive's name
}

// file is a file of an archive.
type file struct {
	name    string
	mode    os.FileMode
	content []byte
}

// archive returns the name of a platform's archive.
func (r *release) archive(p platform) string {
	extension := ".tar.gz"
	if p.os == "windows" {
		extension = ".zip"
	}
	return fmt.Sprintf("kubectl-stscred_%s_%s_%s%s", r.version, p.os, p.arch, extension)
}

// add writes the archive of a platform.
func (r *release) add(p platform, program []byte) error {
	files := []file{{"LICENSE", 0o644, r.license}, {p.program(), 0o755, program}}
	pack := r.tarball
	if p.os == "windows" {
		pack = r.zipfile
	}
	var packed bytes.Buffer
	if err := pack(&packed, files); err != nil {
		return err
	}
	sum := sha256.Sum256(packed.Bytes())
	if r.sums == nil {
		r.sums = map[string]string{}
	}
	r.sums[r.archive(p)] = hex.EncodeToString(sum[:])
	return r.write(r.archive(p), packed.Bytes())
}

func (r *release) tarball(w io.Writer, files []file) error {
	zipped := gzip.NewWriter(w)
	archive := tar.NewWriter(zipped)
	for _, f := range files {
		header := &tar.Header{Name: f.name, Mode: int64(f.mode), Size: int64(len(f.content)), ModTime: r.time, Format: tar.FormatUSTAR}
		if err := archive.WriteHeader(header); err != nil {
			return err
		}
		if _, err := archive.Write(f.content); err != nil {
			return err
		}
	}
	if err := archive.Close(); err != nil {
		return err
	}
	return zipped.Close()
}

func (r *release) zipfile(w io.Writer, files []file) error {
	archive := zip.NewWriter(w)
	for _, f := range files {
		header := &zip.FileHeader{Name: f.name, Method: zip.Deflate, Modified: r.time}
		header.SetMode(f.mode)
		entry, err := archive.CreateHeader(header)
		if err != nil {
			return err
		}
		if _, err := entry.Write(f.content); err != nil {
			return err
		}
	}
	return archive.Close()
}

// finish writes the checksums and, if no platform is missing, the manifest for krew.
func (r *release) finish(manifest string) error {
	var sums strings.Builder
	for _, name := range slices.Sorted(maps.Keys(r.sums)) {
		fmt.Fprintf(&sums, "%s  %s\n", r.sums[name], name)
	}
	if err := r.write("checksums.txt", []byte(sums.String())); err != nil {
		return err
	}
	if len(r.sums) < len(platforms) {
		return nil
	}
	filled, err := r.fill(manifest)
	if err != nil {
		return err
	}
	return r.write("stscred.yaml", filled)
}

// fill fills the manifest for krew, a template of the form that krew-release-bot takes.
func (r *release) fill(manifest string) ([]byte, error) {
	source, err := os.ReadFile(manifest)
	if err != nil {
		return nil, err
	}
	values := struct{ TagName string }{r.version}
	// The URL is itself a template. Of its archive, the checksum is known.
	addURIAndSha := func(url, _ string) (string, error) {
		t, err := template.New("url").Parse(url)
		if err != nil {
			return "", err
		}
		var uri strings.Builder
		if err := t.Execute(&uri, values); err != nil {
			return "", err
		}
		sum, ok := r.sums[path.Base(uri.String())]
		if !ok {
			return "", fmt.Errorf("%s is no archive of the release", uri.String())
		}
		return fmt.Sprintf("uri: %s\n    sha256: %s", uri.String(), sum), nil
	}
	t, err := template.New(manifest).Option("missingkey=error").Funcs(template.FuncMap{"addURIAndSha": addURIAndSha}).Parse(string(source))
	if err != nil {
		return nil, err
	}
	var filled bytes.Buffer
	err = t.Execute(&filled, values)
	return filled.Bytes(), err
}

func (r *release) write(name string, content []byte) error {
	return os.WriteFile(filepath.Join(r.dist, name), content, 0o644)
}
