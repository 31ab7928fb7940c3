// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package node runs a real Kubernetes cluster of one node on this machine, out of Go modules and Debian packages alone:
// the local control plane, kube-scheduler, and a kubelet, kube-proxy and containerd in namespaces of their own. Pods and
// Services have addresses that this machine can reach, and reach nothing beyond it.
package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/rest"

	"github.com/stscredential/sts-credential-operator/hack/controlplane"
	"github.com/stscredential/sts-credential-operator/hack/process"
)

// Options say what to start. The zero value is a good one.
type Options struct {
	// APIServerFlags are added to kube-apiserver's, and win over them.
	APIServerFlags []string
	// SyncFrequency is the kubelet's, by which volumes follow their Secret: they take up to one and a half of it. Default: 10 s,
	// as credentials of tests live minutes, not hours.
	SyncFrequency time.Duration
}

// KubeletSyncFrequency is the kubelet's own default.
const KubeletSyncFrequency = time.Minute

// Cluster is a running cluster.
type Cluster struct {
	slot slot
	lock net.Listener // on the slot
	root string       // of the repository
	dir  string       // of this cluster

	syncFrequency time.Duration

	holder   *process.Process
	programs []*process.Process // of the node
	plane    *controlplane.ControlPlane

	stop    sync.Once
	stopped error
}

// Start starts a cluster and returns once its node is ready. It runs until Stop is called, ctx ends, or this process
// does, however that comes about. Some dozens can run at once.
func Start(ctx context.Context, options Options) (*Cluster, error) {
	if err := check(); err != nil {
		return nil, err
	}
	c := &Cluster{syncFrequency: cmp.Or(options.SyncFrequency, 10*time.Second)}
	if err := c.startAll(ctx, options); err != nil {
		return nil, errors.Join(fmt.Errorf("start the cluster: %w", err), c.Stop())
	}
	context.AfterFunc(ctx, func() { _ = c.Stop() })
	return c, nil
}

func (c *Cluster) startAll(ctx context.Context, options Options) error {
	// Before anything else, as they may have to be built.
	assets, err := controlplane.Assets(ctx, "kube-controller-manager", "kube-scheduler", "kube-proxy", "kubelet")
	if err != nil {
		return err
	}
	if err := c.prepare(ctx); err != nil {
		return err
	}
	if err := c.startHolder(ctx); err != nil {
		return err
	}
	if err := c.connect(ctx); err != nil {
		return err
	}
	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() error { return c.startContainerd(groupCtx) })
	group.Go(func() error { return c.startControlPlane(ctx, assets, options) })
	if err := group.Wait(); err != nil {
		return err
	}
	for _, start := range []func(context.Context) error{c.startScheduler, c.startProxy, c.startKubelet} {
		if err := start(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (c *Cluster) startControlPlane(ctx context.Context, assets string, options Options) (err error) {
	c.plane, err = controlplane.Start(ctx, controlplane.Options{
		Assets:            assets,
		Dir:               filepath.Join(c.dir, "control-plane"),
		ControllerManager: true,
		// Those of volumes write to this machine's /usr.
		Controllers: []string{"*", "-persistentvolume-attach-detach-controller", "-persistentvolume-expander-controller",
			"-persistentvolume-binder-controller"},
		Address:  c.slot.Host,
		Services: c.slot.Services,
		// The node has no name that could be looked up.
		APIServerFlags: append([]string{"--kubelet-preferred-address-types=InternalIP"}, options.APIServerFlags...),
	})
	return err
}

// prepare takes a slot and makes its folder.
func (c *Cluster) prepare(ctx context.Context) (err error) {
	if c.root, err = controlplane.RepositoryRoot(); err != nil {
		return err
	}
	if c.slot, c.lock, err = takeSlot(ctx); err != nil {
		return err
	}
	dir, err := c.place()
	if err != nil {
		return err
	}
	if err := c.clear(dir); err != nil {
		return err
	}
	c.dir = dir
	for _, folder := range []string{"logs", "cni", "control-plane", "run", "sysctl", "var/lib", "var/log/pods"} {
		if err := os.MkdirAll(filepath.Join(dir, folder), 0o700); err != nil {
			return err
		}
	}
	return errors.Join(os.Symlink("/run", filepath.Join(dir, "var", "run")), c.makeCgroups(), c.writeConfigs())
}

// place is where the folder of the cluster in this slot is.
func (c *Cluster) place() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	for _, hidden := range []string{"/var/", "/run/"} {
		if strings.HasPrefix(cache, hidden) {
			return "", fmt.Errorf("%s is in %s, of which the node has its own: set XDG_CACHE_HOME to another folder", cache, hidden)
		}
	}
	return filepath.Join(cache, "sts-credential-operator", "node", c.slot.Name), nil
}

// clear removes what the kernel leaves of a cluster that was killed.
func (c *Cluster) clear(dir string) error {
	return errors.Join(os.RemoveAll(dir), c.removeCgroups())
}

// Stop ends everything that was started and removes all of it but the logs. An error says what had ended before, with
// the end of its log, or what could not be removed. Further calls do nothing.
func (c *Cluster) Stop() error {
	c.stop.Do(func() { c.stopped = c.stopAll() })
	return c.stopped
}

func (c *Cluster) stopAll() error {
	var errs []error
	for _, p := range slices.Backward(c.programs) {
		errs = append(errs, p.Stop())
	}
	if c.holder != nil {
		errs = append(errs, c.holder.Stop())
	}
	if c.plane != nil {
		errs = append(errs, c.plane.Stop())
	}
	if c.dir != "" {
		errs = append(errs, c.removeCgroups(), c.keepLogs())
	}
	if c.lock != nil {
		errs = append(errs, c.lock.Close())
	}
	return errors.Join(errs...)
}

// keepLogs gathers the logs in their folder and removes what is beside it.
func (c *Cluster) keepLogs() error {
	logs, err := filepath.Glob(filepath.Join(c.dir, "control-plane", "*.log"))
	errs := []error{err}
	for _, log := range append(logs, filepath.Join(c.dir, "var", "log", "pods")) {
		errs = append(errs, os.Rename(log, filepath.Join(c.logs(), filepath.Base(log))))
	}
	entries, err := os.ReadDir(c.dir)
	errs = append(errs, err)
	for _, entry := range entries {
		if entry.Name() != filepath.Base(c.logs()) {
			errs = append(errs, os.RemoveAll(filepath.Join(c.dir, entry.Name())))
		}
	}
	return errors.Join(errs...)
}

func (c *Cluster) logs() string { return filepath.Join(c.dir, "logs") }

// Dir is the cluster's folder. The logs of the node and, after Stop, of the control plane and the pods are in its
// folder logs, until the next cluster in this place.
func (c *Cluster) Dir() string { return c.dir }

// Host is this machine's address, as pods and the node reach it.
func (c *Cluster) Host() netip.Addr { return c.slot.Host }

// Kubectl is the path of the kubectl of this Kubernetes.
func (c *Cluster) Kubectl() string { return filepath.Join(c.plane.Assets(), "kubectl") }

// Config is a cluster admin's, without client-side rate limits.
func (c *Cluster) Config() *rest.Config { return c.plane.Config() }

// Kubeconfig is the path of a cluster admin's kubeconfig.
func (c *Cluster) Kubeconfig() string { return c.plane.Kubeconfig() }
