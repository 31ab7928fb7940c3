// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package rollout

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/controllers/stscredential"
	"github.com/stscredential/sts-credential-operator/hack/controlplane"
	"github.com/stscredential/sts-credential-operator/internal/secret"
)

// What all tests share: a control plane, a client past the cache as its admin, and a client through a cache as the
// manager has it.
var (
	plane  *controlplane.ControlPlane
	config *rest.Config
	scheme = runtime.NewScheme()
	api    client.WithWatch
	cached client.Client
)

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	code, err := runTests(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func runTests(m *testing.M) (code int, err error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if plane, err = controlplane.Start(ctx, controlplane.Options{ControllerManager: true}); err != nil {
		return 1, err
	}
	defer func() { _ = plane.Stop() }()
	config = plane.Config()
	config.QPS = -1
	if _, err := envtest.InstallCRDs(config, envtest.CRDInstallOptions{Paths: []string{filepath.Join("..", "..", "config", "crd")}}); err != nil {
		return 1, err
	}
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return 1, err
	}
	if api, err = client.NewWithWatch(config, client.Options{Scheme: scheme}); err != nil {
		return 1, err
	}
	options, err := stscredential.CacheOptions(nil, labels.Everything())
	if err != nil {
		return 1, err
	}
	options.Scheme = scheme
	for object, kind := range options.ByObject {
		if _, isSecret := object.(*corev1.Secret); isSecret {
			kind.Transform = func(o any) (any, error) { return secret.Strip(virtual(o)) }
			options.ByObject[object] = kind
		}
	}
	informers, err := cache.New(config, options)
	if err != nil {
		return 1, err
	}
	if err := errors.Join(stscredential.IndexSecrets(ctx, informers), IndexPods(ctx, informers)); err != nil {
		return 1, err
	}
	go func() { _ = informers.Start(ctx) }()
	if cached, err = client.New(config, client.Options{Scheme: scheme, Cache: &client.CacheOptions{Reader: informers}}); err != nil {
		return 1, err
	}
	cached = virtualClient{cached}
	return m.Run(), nil
}
