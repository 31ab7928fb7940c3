// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestGivenAssets(t *testing.T) {
	for _, test := range []struct {
		name    string
		present []string
		ask     []string
		wantErr string
	}{
		{name: "complete", present: published},
		{name: "complete with a further program", present: append([]string{"kubelet"}, published...), ask: []string{"kubelet"}},
		{
			name: "lacking a further program", present: published, ask: []string{"kubelet", "kube-scheduler"},
			wantErr: "lacks kube-scheduler, kubelet: put it there, or unset KUBEBUILDER_ASSETS",
		},
		{name: "empty", wantErr: "lacks etcd, kube-apiserver, kubectl"},
		{name: "no such program", present: published, ask: []string{"kube-nonsense"}, wantErr: `"kube-nonsense" is no program`},
	} {
		t.Run(test.name, func(t *testing.T) {
			given := t.TempDir()
			touch(t, given, 0o700, test.present...)
			t.Setenv(assetsVariable, given)
			got, err := Assets(t.Context(), io.Discard, test.ask...)
			if !errorContains(err, test.wantErr) || (err == nil && got != given) {
				t.Errorf("got %q, %v; want %q, an error with %q", got, err, given, test.wantErr)
			}
		})
	}
}

func TestCachedAssets(t *testing.T) {
	cache := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", cache)
	t.Setenv("HOME", cache)
	t.Setenv(assetsVariable, "")
	t.Setenv(versionVariable, "1.2.3")
	p, err := newPreparation(io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	touch(t, p.dir, 0o700, published...)

	var told strings.Builder
	got, err := Assets(t.Context(), &told)
	if err != nil || got != p.dir || told.Len() > 0 {
		t.Errorf("got %q, %v, progress %q; want %q without a word", got, err, told.String(), p.dir)
	}
}

func TestAssetsDir(t *testing.T) {
	got := assetsDir("cache", "1.36.3", "linux", "arm64")
	if want := filepath.FromSlash("cache/sts-credential-operator/controlplane/1.36.3-linux-arm64"); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestMissing(t *testing.T) {
	dir := t.TempDir()
	touch(t, dir, 0o700, "etcd")
	touch(t, dir, 0o600, "kubectl") // as a file that is not executable would be
	if err := os.Mkdir(filepath.Join(dir, "kubelet"), 0o700); err != nil {
		t.Fatal(err)
	}
	got := missing(dir, []string{"etcd", "kubectl", "kubelet", "kube-apiserver"})
	if want := []string{"kubectl", "kubelet", "kube-apiserver"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestRepositoryRootFromAnyFolder(t *testing.T) {
	want, err := RepositoryRoot()
	if err != nil {
		t.Fatal(err)
	}
	for _, folder := range []string{".", "hack/etcd", "hack/controlplane/assets"} {
		t.Chdir(filepath.Join(want, folder))
		if got, err := RepositoryRoot(); err != nil || got != want {
			t.Errorf("from %s: got %s, %v; want %s", folder, got, err, want)
		}
	}
	t.Chdir(t.TempDir())
	if got, err := RepositoryRoot(); !errorContains(err, "is not inside a checkout") {
		t.Errorf("from outside: got %s, %v; want an error", got, err)
	}
}

func TestLockExcludes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	unlock, err := lock(t.Context(), path, func() { t.Error("waits for a free lock") })
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	waits := 0
	if _, err := lock(ctx, path, func() { waits++ }); !errors.Is(err, context.DeadlineExceeded) || waits != 1 {
		t.Errorf("a held lock: got %v after %d announcements; want a timeout after one", err, waits)
	}
	unlock()
	again, err := lock(t.Context(), path, func() { t.Error("waits for a lock that was given back") })
	if err != nil {
		t.Fatal(err)
	}
	again()
}

func touch(t *testing.T, dir string, mode os.FileMode, names ...string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o750); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if err := os.WriteFile(filepath.Join(dir, name), nil, mode); err != nil {
			t.Fatal(err)
		}
	}
}
