// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/hack/controlplane"
	"github.com/stscredential/sts-credential-operator/test/chaos/observer"
	"github.com/stscredential/sts-credential-operator/test/fixture"
)

// Namespaces with credentials that only faults affect, with credentials whose Secrets another client edits, and with credentials
// that are created, changed and deleted all the time.
const (
	calmNamespace   = "calm"
	editedNamespace = "edited"
	churnNamespace  = "churned"
)

// available is how long STS and the API server must be available in a row before an expiration is a violation.
const available = 15 * time.Second

// environmentOptions configure an environment.
type environmentOptions struct {
	// lifetime of the sessions that STS issues.
	lifetime time.Duration
	// calm and recovery are the observer's bounds, see observer.New.
	calm, recovery time.Duration
	// namespaces that are created and granted the roles.
	namespaces []string
	// observed is the namespace whose Secrets the observer watches. Default: all of namespaces.
	observed string
	plane    controlplane.Options
}

// environment has a control plane, an emulated STS, a proxy between the operator and the API server, and an observer.
type environment struct {
	environmentOptions
	root, dir string
	plane     *controlplane.ControlPlane
	api       client.WithWatch // of a cluster admin, without the proxy
	sts       *sts
	proxy     *proxy
	observer  *observer.Observer
	fleet     *fleet
	kube      struct{ direct, proxied string } // kubeconfig files of the operator
	manager   struct{ released, stepped string }
}

// newEnvironment starts everything except the operator. Call end to stop it, also after an error.
func newEnvironment(ctx context.Context, root string, options environmentOptions) (env *environment, err error) {
	env = &environment{environmentOptions: options, root: root, observer: observer.New(options.calm, options.recovery)}
	if env.dir, err = os.MkdirTemp("", "chaos-*"); err != nil {
		return env, err
	}
	env.fleet = &fleet{environment: env, dir: filepath.Join(env.dir, "managers")}
	env.manager.released, env.manager.stepped = filepath.Join(env.dir, "manager"), filepath.Join(env.dir, "manager-stepped")
	if err := os.Mkdir(env.fleet.dir, 0o700); err != nil {
		return env, err
	}
	if env.plane, err = controlplane.Start(ctx, options.plane); err != nil {
		return env, err
	}
	if env.api, err = fixture.NewClient(env.plane.Config()); err != nil {
		return env, err
	}
	if env.sts, err = newSTS(ctx, env.observer, options.lifetime); err != nil {
		return env, err
	}
	if err := env.connect(); err != nil {
		return env, err
	}
	return env, env.install(ctx)
}

// connect writes the operator's two kubeconfig files: with the proxy, and without.
func (env *environment) connect() error {
	as, err := env.plane.OperatorConfig()
	if err != nil {
		return err
	}
	if env.proxy, err = newProxy(as); err != nil {
		return err
	}
	env.kube.direct, env.kube.proxied = filepath.Join(env.dir, "direct.kubeconfig"), filepath.Join(env.dir, "proxied.kubeconfig")
	for path, config := range map[string]*rest.Config{env.kube.direct: as, env.kube.proxied: env.proxy.config()} {
		if err := controlplane.WriteKubeconfig(path, config); err != nil {
			return err
		}
	}
	return nil
}

// install applies the CRDs and rights of a release, and grants the roles.
func (env *environment) install(ctx context.Context) error {
	if err := env.plane.InstallForOperator(ctx, env.root); err != nil {
		return err
	}
	for _, name := range env.namespaces {
		if err := env.api.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}); err != nil {
			return err
		}
	}
	return env.api.Create(ctx, fixture.Grant("chaos", "acs:ram::"+account+":role/chaos-*", env.namespaces...))
}

// end stops everything. It keeps the folder after a failure.
func (env *environment) end(keep io.Writer, well bool) (err error) {
	if env.plane != nil {
		err = env.plane.Stop()
	}
	if env.sts != nil {
		env.sts.close()
	}
	if env.proxy != nil {
		env.proxy.sever()
		env.proxy.server.Config.Close() //nolint:errcheck,gosec // its listener may be closed already
	}
	if !well {
		_, _ = fmt.Fprintf(keep, "the operator's logs, and the calls to STS, are in %s\n", env.fleet.dir)
		return errors.Join(err, env.keepCalls())
	}
	return errors.Join(err, os.RemoveAll(env.dir))
}

// keepCalls writes the calls to STS to a file, without secret values.
func (env *environment) keepCalls() error {
	if env.sts == nil {
		return nil
	}
	calls, err := json.Marshal(env.sts.Calls())
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(env.fleet.dir, "calls.json"), calls, 0o600)
}
