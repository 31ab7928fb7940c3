// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gofrs/flock"
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
			got, err := Assets(t.Context(), test.ask...)
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
	p, err := newPreparation()
	if err != nil {
		t.Fatal(err)
	}
	touch(t, p.dir, 0o700, published...)

	var reported strings.Builder
	progress = &reported
	t.Cleanup(func() { progress = os.Stderr })
	got, err := Assets(t.Context())
	if err != nil || got != p.dir || reported.Len() > 0 {
		t.Errorf("got %q, %v, progress %q; want %q and no progress", got, err, reported.String(), p.dir)
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
	p := &preparation{version: "1.2.3", dir: filepath.Join(t.TempDir(), "programs")}
	var reported strings.Builder
	progress = &reported
	t.Cleanup(func() { progress = os.Stderr })
	other := flock.New(p.dir + ".lock")
	if err := other.Lock(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	err := p.prepareLocked(ctx, nil)
	if !errors.Is(err, context.DeadlineExceeded) || strings.Count(reported.String(), "waiting for another process") != 1 {
		t.Errorf("a held lock: got %v and %q; want a timeout after one announcement", err, reported.String())
	}
	reported.Reset()
	if err := errors.Join(other.Unlock(), p.prepareLocked(t.Context(), nil), p.prepareLocked(t.Context(), nil)); err != nil || reported.Len() > 0 {
		t.Errorf("a free lock: got %v and %q", err, reported.String())
	}
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
