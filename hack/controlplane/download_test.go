// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha512"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"testing"
)

func TestDownload(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles setup-envtest")
	}
	for _, test := range []struct {
		name, version, wantErr string
		wantMissing            int
	}{
		{name: "the newest patch release that is published", version: "1.36.3"},
		{name: "a minor that is not published", version: "1.20.1", wantErr: "unable to find a version", wantMissing: 3},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := preparationFor(t, test.version, publish(t, "v1.36.0"))
			if err := p.download(t.Context(), published); !errorContains(err, test.wantErr) {
				t.Errorf("got %v; want an error with %q", err, test.wantErr)
			}
			if got := missing(p.dir, published); len(got) != test.wantMissing {
				t.Errorf("missing: %v; want %d", got, test.wantMissing)
			}
		})
	}
}

func TestNoDownloadWithoutNetwork(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles setup-envtest")
	}
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	err := preparationFor(t, "1.36.3", server.URL).download(t.Context(), published)
	if !errorContains(err, "connection refused") {
		t.Errorf("got %v; want the reason", err)
	}
}

// Whoever has no internet reads one plain line, not the log of a tool.
func TestDownloadFailureIsOneLine(t *testing.T) {
	for name, tt := range map[string]struct{ err, want string }{
		"no DNS":     {"exit status 1\nunable to fetch index: Get \"https://example.com/index.yaml\": dial tcp: lookup example.com on 10.0.0.1:53: no such host", "the list of downloads cannot be reached from here"},
		"no answer":  {"signal: killed", "the list of downloads cannot be reached from here"},
		"none there": {"exit status 2: unable to find a version that was supported", "exit status 2: unable to find a version that was supported"},
		"a log":      {"exit status 1\nfirst\nthe checksum differs\n", "the checksum differs"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := downloadFailure(errors.New(tt.err)); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func preparationFor(t *testing.T, version, index string) *preparation {
	t.Helper()
	root, err := RepositoryRoot()
	if err != nil {
		t.Fatal(err)
	}
	return &preparation{root: root, version: version, pinned: version, dir: t.TempDir(), index: index}
}

// publish serves an index of one release for this platform, and returns its URL.
func publish(t *testing.T, release string) string {
	t.Helper()
	archive := archiveOf(t, published)
	name := fmt.Sprintf("envtest-%s-%s-%s.tar.gz", release, runtime.GOOS, runtime.GOARCH)
	mux := http.NewServeMux()
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	mux.HandleFunc("/index.yaml", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintf(w, "releases:\n  %s:\n    %s:\n      hash: %x\n      selfLink: %s/%[2]s\n",
			release, name, sha512.Sum512(archive), server.URL)
	})
	mux.HandleFunc("/"+name, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(archive) })
	return server.URL + "/index.yaml"
}

func archiveOf(t *testing.T, names []string) []byte {
	t.Helper()
	var out bytes.Buffer
	compressed := gzip.NewWriter(&out)
	files := tar.NewWriter(compressed)
	for _, name := range names {
		header := &tar.Header{Typeflag: tar.TypeReg, Name: "controller-tools/envtest/" + name, Mode: 0o755, Size: int64(len(name))}
		if err := files.WriteHeader(header); err != nil {
			t.Fatal(err)
		}
		if _, err := files.Write([]byte(name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := files.Close(); err != nil {
		t.Fatal(err)
	}
	if err := compressed.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}
