// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package controlplane runs a real Kubernetes control plane on this machine: without containers, and without the
// internet where there is none. It finds, downloads or builds the programs (Assets) and runs them on loopback (Start).
package controlplane

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/gofrs/flock"
)

const (
	// assetsVariable names a folder with the programs; it wins over everything else, as it does for envtest.
	assetsVariable = "KUBEBUILDER_ASSETS"
	// versionVariable chooses another Kubernetes than the one that hack/kubernetes/go.mod pins.
	versionVariable = "KUBERNETES_VERSION"
)

var (
	// published are the programs that setup-envtest offers, and those that every control plane needs.
	published = []string{"etcd", "kube-apiserver", "kubectl"}
	// programs are all that can be asked for.
	programs = append([]string{"kube-controller-manager", "kube-proxy", "kube-scheduler", "kubelet"}, published...)
)

// progress is where what takes long is reported.
var progress io.Writer = os.Stderr

// Assets returns a folder that holds etcd, kube-apiserver, kubectl and the further binaries that are named:
// kube-controller-manager, kube-proxy, kube-scheduler, kubelet.
//
// KUBEBUILDER_ASSETS is used as it is where it is set. Otherwise the folder is one of the user's cache, and what it
// lacks is downloaded by setup-envtest or, where that cannot be, built from Go modules, which takes minutes once.
// KUBERNETES_VERSION (such as 1.33.13) chooses the version; the default is the one in hack/kubernetes/go.mod.
// What happens, and why, is written to stderr.
func Assets(ctx context.Context, binaries ...string) (string, error) {
	wanted := slices.Concat(published, binaries)
	slices.Sort(wanted)
	wanted = slices.Compact(wanted)
	for _, name := range wanted {
		if !slices.Contains(programs, name) {
			return "", fmt.Errorf("%q is no program of the control plane: choose from %s", name, strings.Join(programs, ", "))
		}
	}
	if dir := os.Getenv(assetsVariable); dir != "" {
		return givenAssets(dir, wanted)
	}
	p, err := newPreparation()
	if err != nil {
		return "", err
	}
	if len(missing(p.dir, wanted)) == 0 {
		return p.dir, nil
	}
	return p.dir, p.prepareLocked(ctx, wanted)
}

// givenAssets checks the folder that the user named. Nothing is ever added to it: it is not ours.
func givenAssets(dir string, wanted []string) (string, error) {
	lacking := missing(dir, wanted)
	if len(lacking) == 0 {
		return filepath.Abs(dir)
	}
	return "", fmt.Errorf("%s=%s lacks %s: put it there, or unset %[1]s to have it downloaded or built",
		assetsVariable, dir, strings.Join(lacking, ", "))
}

// preparation fills one folder of the cache.
type preparation struct {
	root    string // of the repository
	version string // of Kubernetes, without the v
	pinned  string // the version that hack/kubernetes/go.mod builds as it stands
	dir     string // to fill
	index   string // of downloads; empty: setup-envtest's own
}

func newPreparation() (*preparation, error) {
	root, err := RepositoryRoot()
	if err != nil {
		return nil, err
	}
	module, err := os.ReadFile(filepath.Join(root, kubernetesModule, "go.mod"))
	if err != nil {
		return nil, err
	}
	pinned, err := pinnedVersion(string(module))
	if err != nil {
		return nil, err
	}
	version, err := chosenVersion(os.Getenv(versionVariable), pinned)
	if err != nil {
		return nil, err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return nil, fmt.Errorf("no folder to keep the control plane's programs in: set HOME or %s: %w", assetsVariable, err)
	}
	dir := assetsDir(cache, version, runtime.GOOS, runtime.GOARCH)
	return &preparation{root: root, version: version, pinned: pinned, dir: dir}, nil
}

// assetsDir is where the programs of one version for one platform are kept.
func assetsDir(cache, version, goos, goarch string) string {
	return filepath.Join(cache, "sts-credential-operator", "controlplane", version+"-"+goos+"-"+goarch)
}

// prepareLocked fills the folder unless another process does so at this moment: then it waits for that one.
func (p *preparation) prepareLocked(ctx context.Context, wanted []string) error {
	if err := os.MkdirAll(p.dir, 0o750); err != nil {
		return err
	}
	// The lock ends with the process that holds it. The file stays: removing it would let two processes lock two files of one name.
	lock := flock.New(p.dir + ".lock")
	locked, err := lock.TryLock()
	if err == nil && !locked {
		p.say("waiting for another process that prepares the same programs")
		_, err = lock.TryLockContext(ctx, 200*time.Millisecond)
	}
	if err != nil {
		return fmt.Errorf("lock %s: %w", lock.Path(), err)
	}
	defer func() { _ = lock.Unlock() }()
	return p.prepare(ctx, wanted)
}

func (p *preparation) prepare(ctx context.Context, wanted []string) error {
	published := slices.DeleteFunc(slices.Clone(published), func(name string) bool { return !slices.Contains(wanted, name) })
	if lacking := missing(p.dir, published); len(lacking) > 0 {
		if err := p.download(ctx, lacking); err != nil {
			if ctx.Err() != nil {
				return err
			}
			p.say("building from Go modules instead: %s", downloadFailure(err))
		}
	}
	lacking := missing(p.dir, wanted)
	if slices.Contains(lacking, "etcd") {
		if err := p.buildEtcd(ctx); err != nil {
			return err
		}
	}
	lacking = slices.DeleteFunc(lacking, func(name string) bool { return name == "etcd" })
	if len(lacking) == 0 {
		return nil
	}
	return p.buildKubernetes(ctx, lacking)
}

// adopt moves finished programs into the folder, each in one step, so that no reader ever finds half of one.
func (p *preparation) adopt(from string, names []string) error {
	for _, name := range names {
		if err := os.Rename(filepath.Join(from, name), filepath.Join(p.dir, name)); err != nil {
			return err
		}
	}
	return nil
}

func (p *preparation) say(format string, args ...any) {
	_, _ = fmt.Fprintf(progress, "control plane "+p.version+": "+format+"\n", args...)
}

// missing names the programs that the folder does not hold.
func missing(dir string, names []string) []string {
	var lacking []string
	for _, name := range names {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || !info.Mode().IsRegular() || info.Mode().Perm()&0o111 == 0 {
			lacking = append(lacking, name)
		}
	}
	return lacking
}

// RepositoryRoot walks up to the folder that holds the pinned modules. It does not ask the go command for the main
// module, which is another one inside hack/.
func RepositoryRoot() (string, error) {
	start, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for dir := start; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, kubernetesModule, "go.mod")); err == nil {
			return dir, nil
		} else if !errors.Is(err, os.ErrNotExist) {
			return "", err
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("%s is not inside a checkout of sts-credential-operator: change into one, or set %s",
				start, assetsVariable)
		}
	}
}
