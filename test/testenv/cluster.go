// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package testenv is the environment in which the controllers are tested: a real API server, an emulated STS, and clocks that
// a test steps. Only tests import it.
package testenv

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/hack/controlplane"
	"github.com/stscredential/sts-credential-operator/internal/secret"
)

// Cluster is a control plane with the project's CRDs, which all tests of a package share, and its clients.
type Cluster struct {
	*controlplane.ControlPlane
	Config *rest.Config
	Scheme *runtime.Scheme
	// API reads and writes past the cache, as a cluster admin.
	API client.WithWatch
	// Cached reads from a cache that is configured as the manager's.
	Cached client.Client
	// Informers is this cache.
	Informers cache.Cache
}

// Options are those of a package's Cluster.
type Options struct {
	// Cache configures the cache, which has the Indexes.
	Cache   func() (cache.Options, error)
	Indexes []func(context.Context, client.FieldIndexer) error
	// Use is given the Cluster before the first test.
	Use func(*Cluster)
}

// Main runs the tests of a package two folders below the repository's root, and exits.
func Main(m *testing.M, o Options) {
	ctrl.SetLogger(logr.Discard())
	os.Exit(run(m, o))
}

func run(m *testing.M, o Options) int {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	plane, err := controlplane.Start(ctx, controlplane.Options{ControllerManager: true})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = plane.Stop() }()
	cluster := &Cluster{ControlPlane: plane, Config: plane.Config(), Scheme: runtime.NewScheme()}
	if err := cluster.connect(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	o.Use(cluster)
	return m.Run()
}

// connect installs the CRDs and starts the cache.
func (c *Cluster) connect(ctx context.Context, o Options) error {
	c.Config.QPS = -1
	crds := envtest.CRDInstallOptions{Paths: []string{filepath.Join("..", "..", "config", "crd")}}
	if _, err := envtest.InstallCRDs(c.Config, crds); err != nil {
		return err
	}
	err := errors.Join(clientgoscheme.AddToScheme(c.Scheme), v1alpha1.AddToScheme(c.Scheme))
	if err != nil {
		return err
	}
	if c.API, err = client.NewWithWatch(c.Config, client.Options{Scheme: c.Scheme}); err != nil {
		return err
	}
	cached, err := o.Cache()
	if err != nil {
		return err
	}
	cached.Scheme = c.Scheme
	for object, of := range cached.ByObject {
		if _, isSecret := object.(*corev1.Secret); isSecret {
			of.Transform = func(o any) (any, error) { return secret.Strip(setWriteTime(o)) }
			cached.ByObject[object] = of
		}
	}
	if c.Informers, err = cache.New(c.Config, cached); err != nil {
		return err
	}
	for _, index := range o.Indexes {
		if err := index(ctx, c.Informers); err != nil {
			return err
		}
	}
	go func() { _ = c.Informers.Start(ctx) }()
	through, err := client.New(c.Config, client.Options{Scheme: c.Scheme, Cache: &client.CacheOptions{Reader: c.Informers}})
	c.Cached = steppedClient{through}
	return err
}

// Login returns a client of a user, without a cache.
func (c *Cluster) Login(user string, groups ...string) (client.Client, error) {
	config, err := c.UserConfig(user, groups...)
	if err != nil {
		return nil, err
	}
	return client.New(config, client.Options{Scheme: c.Scheme})
}

// Intercept returns a client whose requests go through functions. It cannot watch.
func Intercept(c client.Client, funcs interceptor.Funcs) client.Client {
	return interceptor.NewClient(withoutWatch{c}, funcs)
}

type withoutWatch struct{ client.Client }

func (withoutWatch) Watch(context.Context, client.ObjectList, ...client.ListOption) (watch.Interface, error) {
	return nil, errors.New("this client cannot watch")
}
