// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/stscredential/sts-credential-operator/hack/process"
)

const namespace = metav1.NamespaceDefault

// One control plane, and what its users rely on.
func TestControlPlane(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a control plane, for which programs may have to be built")
	}
	// Not t.Context(): that one ends before the test's last step, which stops it.
	c, err := Start(context.Background(), Options{ControllerManager: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Stop() })
	client, err := kubernetes.NewForConfig(c.Config())
	if err != nil {
		t.Fatal(err)
	}
	t.Run("collects garbage", func(t *testing.T) { collectsGarbage(t, client) })
	t.Run("removes namespaces", func(t *testing.T) { removesNamespaces(t, client) })
	t.Run("issues ServiceAccount tokens", func(t *testing.T) { issuesTokens(t, client) })
	t.Run("counts quotas", func(t *testing.T) { countsQuotas(t, client) })
	t.Run("gives users their rights only", func(t *testing.T) { limitsUsers(t, c) })
	t.Run("serves kubectl", func(t *testing.T) { servesKubectl(t, c) })
	t.Run("brings back what crashed", func(t *testing.T) { bringsBack(t, c, client) })
	t.Run("stops without a trace", func(t *testing.T) { stopsWithoutTrace(t, c) })
}

func collectsGarbage(t *testing.T, client kubernetes.Interface) {
	maps := client.CoreV1().ConfigMaps(namespace)
	owner := must(maps.Create(t.Context(), configMap("owner"), metav1.CreateOptions{}))(t)
	dependent := configMap("dependent")
	dependent.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "ConfigMap", Name: owner.Name, UID: owner.UID}}
	must(maps.Create(t.Context(), dependent, metav1.CreateOptions{}))(t)
	if err := maps.Delete(t.Context(), owner.Name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, time.Minute, "the dependent is collected", func() bool {
		_, err := maps.Get(t.Context(), dependent.Name, metav1.GetOptions{})
		return apierrors.IsNotFound(err)
	})
}

func removesNamespaces(t *testing.T, client kubernetes.Interface) {
	namespaces := client.CoreV1().Namespaces()
	shop := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop"}}
	must(namespaces.Create(t.Context(), shop, metav1.CreateOptions{}))(t)
	if err := namespaces.Delete(t.Context(), shop.Name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, time.Minute, "the namespace is gone", func() bool {
		_, err := namespaces.Get(t.Context(), shop.Name, metav1.GetOptions{})
		return apierrors.IsNotFound(err)
	})
}

func issuesTokens(t *testing.T, client kubernetes.Interface) {
	accounts := client.CoreV1().ServiceAccounts(namespace)
	eventually(t, time.Minute, "the default ServiceAccount is there", func() bool {
		_, err := accounts.Get(t.Context(), "default", metav1.GetOptions{})
		return err == nil
	})
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{Audiences: []string{"sts.aliyuncs.com"}}}
	answer := must(accounts.CreateToken(t.Context(), "default", request, metav1.CreateOptions{}))(t)
	if strings.Count(answer.Status.Token, ".") != 2 {
		t.Error("the token is no JWT")
	}
}

func countsQuotas(t *testing.T, client kubernetes.Interface) {
	quota := &corev1.ResourceQuota{
		ObjectMeta: metav1.ObjectMeta{Name: "no-secrets"},
		Spec:       corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{corev1.ResourceSecrets: resource.MustParse("0")}},
	}
	quotas := client.CoreV1().ResourceQuotas(namespace)
	must(quotas.Create(t.Context(), quota, metav1.CreateOptions{}))(t)
	eventually(t, time.Minute, "the quota counts", func() bool {
		got, err := quotas.Get(t.Context(), quota.Name, metav1.GetOptions{})
		return err == nil && len(got.Status.Hard) == 1
	})
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "one-too-many"}}
	_, err := client.CoreV1().Secrets(namespace).Create(t.Context(), secret, metav1.CreateOptions{})
	if !errorContains(err, "exceeded quota") {
		t.Errorf("got %v; want the quota to refuse the Secret", err)
	}
}

func limitsUsers(t *testing.T, c *ControlPlane) {
	client := must(kubernetes.NewForConfig(must(c.UserConfig("somebody"))(t)))(t)
	if _, err := client.CoreV1().Secrets(namespace).List(t.Context(), metav1.ListOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("got %v; want Forbidden", err)
	}
}

func servesKubectl(t *testing.T, c *ControlPlane) {
	kubectl := exec.CommandContext(t.Context(), filepath.Join(c.Assets(), "kubectl"), "--kubeconfig", c.Kubeconfig(),
		"get", "validatingadmissionpolicies,namespaces", "-o", "name")
	out, err := kubectl.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "namespace/default") {
		t.Errorf("got %v: %s; want the default namespace among others", err, out)
	}
}

func bringsBack(t *testing.T, c *ControlPlane, client kubernetes.Interface) {
	must(client.CoreV1().ConfigMaps(namespace).Create(t.Context(), configMap("kept"), metav1.CreateOptions{}))(t)
	before := must(c.ID("kube-apiserver"))(t)
	if err := c.Kill("kube-apiserver"); err != nil {
		t.Fatal(err)
	}
	if _, err := client.CoreV1().ConfigMaps(namespace).Get(t.Context(), "kept", metav1.GetOptions{}); err == nil {
		t.Error("it answers although it was killed")
	}
	if err := c.Restart(t.Context(), "kube-apiserver"); err != nil {
		t.Fatal(err)
	}
	must(client.CoreV1().ConfigMaps(namespace).Get(t.Context(), "kept", metav1.GetOptions{}))(t)
	if after := must(c.ID("kube-apiserver"))(t); after == before {
		t.Error("it is the same process")
	}
	if err := c.Kill("kube-scheduler"); !errorContains(err, "has no kube-scheduler") {
		t.Errorf("got %v", err)
	}
}

func stopsWithoutTrace(t *testing.T, c *ControlPlane) {
	var names []string
	for _, p := range c.components {
		names = append(names, p.Name())
	}
	if want := []string{"etcd", "kube-apiserver", controllerManager}; !slices.Equal(names, want) {
		t.Errorf("started %v, want %v", names, want)
	}
	if err := c.Stop(); err != nil {
		t.Error(err)
	}
	for _, p := range c.components {
		select {
		case <-p.Done():
		default:
			t.Errorf("%s is still there", p.Name())
		}
	}
	if connection, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", c.address); err == nil {
		_ = connection.Close()
		t.Errorf("%s still answers", c.address)
	}
	if _, err := os.Stat(c.Dir()); !os.IsNotExist(err) {
		t.Errorf("%s is still there: %v", c.Dir(), err)
	}
	if err := c.Run(context.Background(), nil, "etcd"); err == nil {
		t.Error("a component could be started after the end")
	}
}

// A failed start ends what it had started, and returns the cause.
func TestFailedStart(t *testing.T) {
	if testing.Short() {
		t.Skip("starts etcd, which may have to be built")
	}
	dir := t.TempDir()
	_, err := Start(t.Context(), Options{Dir: dir, APIServerFlags: []string{"--nonsense"}})
	if !errorContains(err, "kube-apiserver ended before it was ready: exit status 1\n") || !errorContains(err, "unknown flag: --nonsense") {
		t.Errorf("got %v; want the log of kube-apiserver", err)
	}
	log, err := os.ReadFile(filepath.Join(dir, "etcd.log"))
	if err != nil || !strings.Contains(string(log), "ready to serve client requests") {
		t.Errorf("got %v; want the log of etcd to stay in a folder of the caller's", err)
	}
}

// The end of the context is the end of the control plane.
func TestContextEnds(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a control plane, for which programs may have to be built")
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	c, err := Start(ctx, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Stop() })
	cancel()
	for _, p := range c.components {
		select {
		case <-p.Done():
		case <-time.After(time.Minute):
			t.Fatalf("%s is still there", p.Name())
		}
	}
}

func TestFreePortsDiffer(t *testing.T) {
	addresses := must(process.FreeAddresses(t.Context(), loopback.String(), 20))(t)
	slices.Sort(addresses)
	if got := len(slices.Compact(addresses)); got != 20 {
		t.Errorf("got %d different addresses, want 20", got)
	}
}

func configMap(name string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}}
}

// must ends the test on an error; its two calls let it take the results of another call.
func must[T any](value T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

func eventually(t *testing.T, limit time.Duration, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(limit); !ok(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s", limit, what)
		}
	}
}
