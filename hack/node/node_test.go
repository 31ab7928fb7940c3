// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"
)

// No two clusters share an address, and none has one outside of the network for benchmarks.
func TestSlots(t *testing.T) {
	benchmarks := netip.MustParsePrefix("198.18.0.0/15")
	var all []netip.Prefix
	for n := range clusters {
		s := slotOf(n)
		if !s.Link.Contains(s.Host) || !s.Link.Contains(s.Node) || s.Host == s.Node {
			t.Errorf("%s: %s and %s are no two ends of %s", s.Name, s.Host, s.Node, s.Link)
		}
		for _, prefix := range []netip.Prefix{s.Link, s.Pods, s.Services} {
			if !benchmarks.Contains(prefix.Addr()) {
				t.Errorf("%s: %s is not in %s", s.Name, prefix, benchmarks)
			}
			for _, other := range all {
				if prefix.Overlaps(other) {
					t.Errorf("%s: %s overlaps %s", s.Name, prefix, other)
				}
			}
			all = append(all, prefix)
		}
	}
}

// A slot is one cluster's until that one lets go of it.
func TestTakeSlot(t *testing.T) {
	first, lock, err := takeSlot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	second, other, err := takeSlot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Close() }()
	if first == second {
		t.Errorf("%s was given twice", first.Name)
	}
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
	again, lock, err := takeSlot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = lock.Close() }()
	if again != first {
		t.Errorf("got %s, want %s, which is free again", again.Name, first.Name)
	}
}

// The archive is what docker save would write: containerd refuses layers whose sum is not the one in the config.
func TestWriteImage(t *testing.T) {
	var archive bytes.Buffer
	if err := writeImage(&archive, "localhost/hello:1", []string{"/hello"}, fstest.MapFS{"hello": {Data: []byte("program"), Mode: 0o755}}); err != nil {
		t.Fatal(err)
	}
	files := untar(t, archive.Bytes())
	var manifest []struct {
		Config           string
		RepoTags, Layers []string
	}
	if err := json.Unmarshal(files["manifest.json"], &manifest); err != nil {
		t.Fatal(err)
	}
	if len(manifest) != 1 || len(manifest[0].Layers) != 1 || manifest[0].RepoTags[0] != "localhost/hello:1" {
		t.Fatalf("got %+v; want one image of one layer", manifest)
	}
	var config struct {
		Architecture, OS string
		Config           struct {
			Entrypoint []string
			User       string
		}
		RootFS struct {
			DiffIDs []string `json:"diff_ids"`
		}
	}
	if err := json.Unmarshal(files[manifest[0].Config], &config); err != nil {
		t.Fatal(err)
	}
	layer := files[manifest[0].Layers[0]]
	sum := sha256.Sum256(layer)
	if got, want := config.RootFS.DiffIDs[0], "sha256:"+hex.EncodeToString(sum[:]); got != want {
		t.Errorf("the layer's sum is %s, the config says %s", want, got)
	}
	if config.Architecture == "" || config.OS != "linux" || config.Config.User != "65532:65532" {
		t.Errorf("got %+v; want a platform and a user without rights", config)
	}
	if got := string(untar(t, layer)[config.Config.Entrypoint[0][1:]]); got != "program" {
		t.Errorf("the entrypoint holds %q", got)
	}
}

func untar(t *testing.T, archive []byte) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	for reader := tar.NewReader(bytes.NewReader(archive)); ; {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		if files[header.Name], err = io.ReadAll(reader); err != nil {
			t.Fatal(err)
		}
	}
}

// Folders go, children first, and only if they hold no file; of cgroups those are what the kernel keeps in them.
func TestRemoveCgroup(t *testing.T) {
	root := filepath.Join(t.TempDir(), "stsnode0")
	if err := os.MkdirAll(filepath.Join(root, "kubepods", "pod1"), 0o700); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time there is nothing to do
		if err := removeCgroup(root); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(root); !os.IsNotExist(err) {
		t.Errorf("it is still there: %v", err)
	}
}
