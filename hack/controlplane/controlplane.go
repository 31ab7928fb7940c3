// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"k8s.io/client-go/rest"

	"github.com/stscredential/sts-credential-operator/hack/process"
)

// adminGroup may do everything, whatever RBAC says.
const adminGroup = "system:masters"

// Options say what to start. The zero value is a good one: etcd and kube-apiserver.
type Options struct {
	// Assets is the folder with the programs. Default: what Assets returns.
	Assets string
	// Dir is where certificates, data and logs go; it has to exist, be empty, and is left in place. Default: a temporary
	// folder, which Stop removes.
	Dir string
	// ControllerManager starts kube-controller-manager too. Without it nothing is garbage collected, deleted namespaces
	// stay Terminating, no namespace has a ServiceAccount of itself and quotas do not count.
	ControllerManager bool
	// Controllers are those that kube-controller-manager runs, in the syntax of its --controllers. Default: the ones
	// that the promise of ControllerManager takes.
	Controllers []string
	// Address is the one of this machine that kube-apiserver listens on, and that pods find it at. Default: 127.0.0.1,
	// which no pod reaches.
	Address netip.Addr
	// Services is where the addresses of Services come from. Default: 127.1.0.0/24, which no pod reaches.
	Services netip.Prefix
	// APIServerFlags are added to kube-apiserver's, and win over them.
	APIServerFlags []string
	// EtcdFlags are added to etcd's.
	EtcdFlags []string
}

// ControlPlane is a running control plane.
type ControlPlane struct {
	assets    string
	dir       string
	temporary bool
	address   string // of kube-apiserver, host:port
	authority *authority
	admin     *rest.Config

	mutex      sync.Mutex
	components []*component
	stopped    bool
}

// component is what runs, and how it was started.
type component struct {
	*process.Process
	program string
	args    []string
	ready   func(context.Context) error
}

// Start starts a control plane on ports that are free, on loopback by default, and returns once it answers. It runs until Stop is
// called, ctx ends, or this process does: on Linux however that comes about, elsewhere unless it is killed.
func Start(ctx context.Context, options Options) (*ControlPlane, error) {
	options, err := options.withDefaults(ctx)
	if err != nil {
		return nil, err
	}
	// Between the choice of a free port and its use another program may take it.
	for attempt := 1; ; attempt++ {
		c, err := start(ctx, options)
		if err == nil {
			context.AfterFunc(ctx, func() { _ = c.Stop() })
			return c, nil
		}
		if attempt == 3 || !strings.Contains(err.Error(), "address already in use") {
			return nil, fmt.Errorf("start the control plane: %w", err)
		}
	}
}

func (o Options) withDefaults(ctx context.Context) (Options, error) {
	if !o.Address.IsValid() {
		o.Address = loopback
	}
	if !o.Services.IsValid() {
		o.Services = netip.MustParsePrefix("127.1.0.0/24")
	}
	if o.Controllers == nil {
		o.Controllers = []string{
			"garbage-collector-controller", "namespace-controller", "serviceaccount-controller", "resourcequota-controller",
		}
	}
	if o.Assets != "" {
		return o, nil
	}
	var binaries []string
	if o.ControllerManager {
		binaries = append(binaries, controllerManager)
	}
	var err error
	o.Assets, err = Assets(ctx, binaries...)
	return o, err
}

// start makes one attempt, and leaves nothing behind if that fails.
func start(ctx context.Context, options Options) (c *ControlPlane, err error) {
	c = &ControlPlane{assets: options.Assets, dir: options.Dir}
	if c.dir == "" {
		if c.dir, err = os.MkdirTemp("", "control-plane-*"); err != nil {
			return nil, err
		}
		c.temporary = true
	}
	defer func() {
		if err != nil {
			// err already reports a process that ended by itself.
			_ = c.Stop()
			c = nil
		}
	}()
	// The first address of Services is the API server's own.
	if c.authority, err = newAuthority(loopback, options.Address, options.Services.Masked().Addr().Next()); err != nil {
		return c, err
	}
	if err = c.authority.writeFiles(c.dir); err != nil {
		return c, err
	}
	return c, c.startComponents(ctx, options)
}

func (c *ControlPlane) startComponents(ctx context.Context, options Options) error {
	ports, err := process.FreeAddresses(ctx, loopback.String(), 2)
	if err != nil {
		return err
	}
	etcd, manager := ports[0], ports[1]
	if ports, err = process.FreeAddresses(ctx, options.Address.String(), 1); err != nil {
		return err
	}
	c.address = ports[0]
	if c.admin, err = c.UserConfig("admin", adminGroup); err != nil {
		return err
	}
	if err := WriteKubeconfig(c.Kubeconfig(), c.admin); err != nil {
		return err
	}
	if err := c.startEtcd(ctx, etcd, options.EtcdFlags); err != nil {
		return err
	}
	if err := c.startAPIServer(ctx, etcd, options); err != nil {
		return err
	}
	if options.ControllerManager {
		return c.startControllerManager(ctx, manager, options.Controllers)
	}
	return nil
}

// Run starts a further component, which Stop ends before all that were started earlier, and waits until ready returns
// nil. The program is the name of one in the assets folder, such as kube-scheduler, or an absolute path.
func (c *ControlPlane) Run(ctx context.Context, ready func(context.Context) error, program string, args ...string) error {
	if !filepath.IsAbs(program) {
		program = filepath.Join(c.assets, program)
	}
	added := &component{program: program, args: args, ready: ready}
	if err := c.start(added, func() { c.components = append(c.components, added) }); err != nil {
		return err
	}
	return added.Wait(ctx, ready)
}

// start starts a process unless Stop has been called, so that none comes to life behind its back.
func (c *ControlPlane) start(what *component, started func()) error {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if c.stopped {
		return errors.New("the control plane has been stopped")
	}
	//nolint:noctx // they are stopped in order, not by a context
	p, err := process.Start(filepath.Base(what.program), c.dir, exec.Command(what.program, what.args...))
	if err != nil {
		return err
	}
	what.Process = p
	started()
	return nil
}

// Kill ends a component, such as kube-apiserver, as a crash does, and returns once it is gone.
func (c *ControlPlane) Kill(name string) error {
	what, err := c.component(name)
	if err == nil {
		what.Kill()
	}
	return err
}

// Restart starts a component that was killed as it was started first, and waits until it is ready.
func (c *ControlPlane) Restart(ctx context.Context, name string) error {
	what, err := c.component(name)
	if err != nil {
		return err
	}
	if err := c.start(what, func() {}); err != nil {
		return err
	}
	return what.Wait(ctx, what.ready)
}

// ID is the process id of a component, such as etcd.
func (c *ControlPlane) ID(name string) (int, error) {
	what, err := c.component(name)
	if err != nil {
		return 0, err
	}
	return what.ID(), nil
}

func (c *ControlPlane) component(name string) (*component, error) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	for _, what := range c.components {
		if filepath.Base(what.program) == name {
			return what, nil
		}
	}
	return nil, fmt.Errorf("the control plane has no %s", name)
}

// Stop ends everything that was started, the last first, and returns when all of it is gone. An error says that a
// component had ended before, with the end of its log. Further calls do nothing.
func (c *ControlPlane) Stop() error {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if c.stopped {
		return nil
	}
	c.stopped = true
	var errs []error
	for _, p := range slices.Backward(c.components) {
		errs = append(errs, p.Stop())
	}
	if c.temporary {
		errs = append(errs, os.RemoveAll(c.dir))
	}
	return errors.Join(errs...)
}

// Dir is the folder with the logs (<component>.log), the data and the certificates (ca.crt is what clients trust).
func (c *ControlPlane) Dir() string { return c.dir }

// Assets is the folder with the programs, kubectl among them.
func (c *ControlPlane) Assets() string { return c.assets }

// Config is a cluster admin's, without client-side rate limits.
func (c *ControlPlane) Config() *rest.Config { return rest.CopyConfig(c.admin) }

// UserConfig is the configuration of a user who has the rights that RBAC, or the Node authorizer, gives to this name
// and these groups.
func (c *ControlPlane) UserConfig(name string, groups ...string) (*rest.Config, error) {
	certificate, key, err := c.authority.issue(pkix.Name{CommonName: name, Organization: groups})
	if err != nil {
		return nil, err
	}
	return &rest.Config{
		Host:            "https://" + c.address,
		TLSClientConfig: rest.TLSClientConfig{CAData: c.authority.pem(), CertData: certificate, KeyData: key},
		QPS:             -1,
	}, nil
}
