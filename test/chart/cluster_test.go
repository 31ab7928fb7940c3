// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package chart

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/hack/controlplane"
)

// cluster is a real control plane, without nodes, and helm and a cluster admin at it.
type cluster struct {
	*testing.T
	api        client.Client
	config     *rest.Config
	kubeconfig string
	programs   string // the folder of kubectl
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	return startCluster(t, controlplane.Options{})
}

func startCluster(t *testing.T, options controlplane.Options) *cluster {
	t.Helper()
	options.ControllerManager = true
	plane, err := controlplane.Start(context.Background(), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := plane.Stop(); err != nil {
			t.Error(err)
		}
	})
	c := &cluster{T: t, config: plane.Config(), programs: plane.Assets(), kubeconfig: plane.Kubeconfig()}
	scheme := runtime.NewScheme()
	c.must(errors.Join(clientgoscheme.AddToScheme(scheme), apiextensionsv1.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)))
	c.api, err = client.New(c.config, client.Options{Scheme: scheme})
	c.must(err)
	return c
}

func (c *cluster) must(err error) {
	c.Helper()
	if err != nil {
		c.Fatal(err)
	}
}

// helm runs Helm at the cluster, in the release's namespace.
func (c *cluster) helm(values string, args ...string) string {
	c.Helper()
	out, err := helm(c.T, values, append(args, "--namespace="+namespace, "--kubeconfig="+c.kubeconfig)...)
	c.must(err)
	return out
}

// namespaces makes some that take only pods within the restricted Pod Security Standard, with a ServiceAccount.
func (c *cluster) namespaces(names ...string) {
	c.Helper()
	for _, name := range names {
		c.must(c.api.Create(c.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
			Name: name, Labels: map[string]string{"pod-security.kubernetes.io/enforce": "restricted"},
		}}))
	}
	for _, name := range names {
		c.eventually("a ServiceAccount in "+name, func() bool { return c.has(&corev1.ServiceAccount{}, name, "default") })
	}
}

// has reads an object, and reports whether it exists.
func (c *cluster) has(object client.Object, namespace, name string) bool {
	c.Helper()
	err := c.api.Get(c.Context(), client.ObjectKey{Namespace: namespace, Name: name}, object)
	if client.IgnoreNotFound(err) != nil && !strings.Contains(err.Error(), "no matches for kind") {
		c.Fatal(err)
	}
	return err == nil
}

func (c *cluster) eventually(what string, done func() bool) {
	c.Helper()
	err := wait.PollUntilContextTimeout(c.Context(), 50*time.Millisecond, 2*time.Minute, true, func(context.Context) (bool, error) { return done(), nil })
	if err != nil {
		c.Fatalf("waited in vain for %s", what)
	}
}
