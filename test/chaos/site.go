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

// The namespaces: of credentials that nobody touches but faults, of those whose Secrets are meddled with, and of those that
// are created, changed and deleted all the time.
const (
	calmNamespace    = "calm"
	meddledNamespace = "meddled"
	churnNamespace   = "churned"
)

// calmEnough is how long STS and the API server must have been there, in one go, for an expiry to be the operator's fault.
const calmEnough = 15 * time.Second

// siteOptions say what a site is for.
type siteOptions struct {
	// lifetime of the sessions that STS issues.
	lifetime time.Duration
	// calm and recovery are the observer's bounds, see observer.New.
	calm, recovery time.Duration
	// namespaces that are created and granted the roles.
	namespaces []string
	// observed is the namespace whose Secrets the observer sees. Default: all of namespaces.
	observed string
	plane    controlplane.Options
}

// site is a control plane, an emulated STS, a proxy between the operator and the API server, and an observer.
type site struct {
	siteOptions
	root, dir string
	plane     *controlplane.ControlPlane
	api       client.WithWatch // past the proxy, and as a cluster admin
	sts       *sts
	proxy     *proxy
	observer  *observer.Observer
	fleet     *fleet
	kube      struct{ direct, proxied string } // kubeconfig files of the operator
	manager   struct{ released, stepped string }
}

// newSite starts all but the operator. What was started ends with end.
func newSite(ctx context.Context, root string, options siteOptions) (s *site, err error) {
	s = &site{siteOptions: options, root: root, observer: observer.New(options.calm, options.recovery)}
	if s.dir, err = os.MkdirTemp("", "chaos-*"); err != nil {
		return s, err
	}
	s.fleet = &fleet{site: s, dir: filepath.Join(s.dir, "managers")}
	s.manager.released, s.manager.stepped = filepath.Join(s.dir, "manager"), filepath.Join(s.dir, "manager-stepped")
	if err := os.Mkdir(s.fleet.dir, 0o700); err != nil {
		return s, err
	}
	if s.plane, err = controlplane.Start(ctx, options.plane); err != nil {
		return s, err
	}
	if s.api, err = fixture.NewClient(s.plane.Config()); err != nil {
		return s, err
	}
	if s.sts, err = newSTS(ctx, s.observer, options.lifetime); err != nil {
		return s, err
	}
	if err := s.connect(); err != nil {
		return s, err
	}
	return s, s.install(ctx)
}

// connect gives the operator two ways to the API server.
func (s *site) connect() error {
	as, err := s.plane.OperatorConfig()
	if err != nil {
		return err
	}
	if s.proxy, err = newProxy(as); err != nil {
		return err
	}
	s.kube.direct, s.kube.proxied = filepath.Join(s.dir, "direct.kubeconfig"), filepath.Join(s.dir, "proxied.kubeconfig")
	for path, config := range map[string]*rest.Config{s.kube.direct: as, s.kube.proxied: s.proxy.config()} {
		if err := controlplane.WriteKubeconfig(path, config); err != nil {
			return err
		}
	}
	return nil
}

// install applies CRDs and rights as they are released, and grants the roles.
func (s *site) install(ctx context.Context) error {
	if err := s.plane.InstallForOperator(ctx, s.root); err != nil {
		return err
	}
	for _, name := range s.namespaces {
		if err := s.api.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}); err != nil {
			return err
		}
	}
	return s.api.Create(ctx, fixture.Grant("chaos", "acs:ram::"+account+":role/chaos-*", s.namespaces...))
}

// end stops all. The folder stays if something was wrong with it.
func (s *site) end(keep io.Writer, well bool) (err error) {
	if s.plane != nil {
		err = s.plane.Stop()
	}
	if s.sts != nil {
		s.sts.close()
	}
	if s.proxy != nil {
		s.proxy.sever()
		s.proxy.server.Config.Close() //nolint:errcheck,gosec // its listener may be closed already
	}
	if !well {
		_, _ = fmt.Fprintf(keep, "the operator's logs, and the calls to STS, are in %s\n", s.fleet.dir)
		return errors.Join(err, s.keepCalls())
	}
	return errors.Join(err, os.RemoveAll(s.dir))
}

// keepCalls writes down what STS was asked, without anything secret.
func (s *site) keepCalls() error {
	if s.sts == nil {
		return nil
	}
	calls, err := json.Marshal(s.sts.Calls())
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(s.fleet.dir, "calls.json"), calls, 0o600)
}
