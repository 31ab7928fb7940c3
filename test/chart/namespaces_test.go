// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package chart

import (
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/hack/controlplane"
	"github.com/stscredential/sts-credential-operator/test/stsemulator"
)

const (
	account = "1234567890123456"
	role    = "acs:ram::" + account + ":role/shop-orders"
)

// The operator does its work with what the chart gives it in its namespaces, and can do nothing elsewhere.
func TestNamespaced(t *testing.T) {
	c := newCluster(t)
	c.namespaces("shop", "web", "other")
	emulator := stsemulator.New(stsemulator.Options{})
	key := emulator.AddUser(account, "sts-operator")
	emulator.AddRole(stsemulator.Role{ARN: role, Trust: []stsemulator.Statement{{RAM: []string{"acs:ram::" + account + ":user/sts-operator"}}}})
	sts := httptest.NewServer(emulator)
	t.Cleanup(sts.Close)
	c.helm(fmt.Sprintf(`
namespaces: [shop, web]
stsEndpoint: %s
metrics: {enabled: false}
probes: {port: 0}
roleGrants: [{name: all, namespaces: {names: [shop, web, other]}, roleARNs: ["%s"]}]
`, sts.URL, role), "install", release, chart, "--create-namespace", "--values=-")
	for _, name := range []string{"shop", "web", "other"} {
		c.must(c.api.Create(t.Context(), &v1alpha1.StsCredential{ObjectMeta: metav1.ObjectMeta{Namespace: name, Name: "orders"}, Spec: v1alpha1.StsCredentialSpec{RoleARN: role}}))
	}

	operator := c.operator()
	log := c.startManager(operator, "ALIBABA_CLOUD_ACCESS_KEY_ID="+key.ID, "ALIBABA_CLOUD_ACCESS_KEY_SECRET="+key.Secret)
	for _, name := range []string{"shop", "web"} {
		c.eventually("credentials in "+name, func() bool {
			credential := &v1alpha1.StsCredential{}
			return c.has(credential, name, "orders") && meta.IsStatusConditionTrue(credential.Status.Conditions, v1alpha1.ConditionReady) && c.has(&corev1.Secret{}, name, "orders")
		})
	}
	if c.has(&corev1.Secret{}, "other", "orders") {
		t.Error("credentials in a namespace that the operator is not to work in")
	}
	c.wantFenced(operator)
	printed, err := os.ReadFile(log)
	c.must(err)
	if strings.Contains(string(printed), "forbidden") {
		t.Errorf("the operator lacks a right:\n%s", printed)
	}
}

// operator is a configuration with a token of the operator's ServiceAccount.
func (c *cluster) operator() *rest.Config {
	c.Helper()
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: fullName}}
	token := &authenticationv1.TokenRequest{}
	c.must(c.api.SubResource("token").Create(c.Context(), account, token))
	config := rest.AnonymousClientConfig(c.config)
	config.BearerToken = token.Status.Token
	return config
}

// startManager runs the manager with the arguments of the Deployment, which here cannot find its own namespace for the
// lease, and returns the file with its log.
func (c *cluster) startManager(config *rest.Config, environment ...string) (log string) {
	c.Helper()
	dir := c.TempDir()
	if out, err := command(c.T, "", "go", "build", "-o", filepath.Join(dir, "manager"), root+"/cmd/manager"); err != nil {
		c.Fatalf("%v\n%s", err, out)
	}
	c.must(controlplane.WriteKubeconfig(filepath.Join(dir, "kubeconfig"), config))
	deployment := &appsv1.Deployment{}
	if !c.has(deployment, namespace, fullName) {
		c.Fatal("no Deployment")
	}
	output, err := os.Create(filepath.Join(dir, "log"))
	c.must(err)
	manager := exec.CommandContext(c.Context(), filepath.Join(dir, "manager"),
		slices.Concat(deployment.Spec.Template.Spec.Containers[0].Args, []string{"--leader-elect=false"})...)
	manager.Env = append(environment, "HOME="+dir, "KUBECONFIG="+filepath.Join(dir, "kubeconfig"))
	manager.Stdout, manager.Stderr = output, output
	c.must(manager.Start())
	c.Cleanup(func() { _ = manager.Wait(); _ = output.Close() }) // the test's context has ended by then
	return output.Name()
}

// wantFenced tries as the operator what it must not do: by RBAC elsewhere, by admission at home.
func (c *cluster) wantFenced(operator *rest.Config) {
	c.Helper()
	api, err := client.New(operator, client.Options{Scheme: c.api.Scheme()})
	c.must(err)
	for what, err := range map[string]error{
		"read Secrets elsewhere":             api.List(c.Context(), &corev1.SecretList{}, client.InNamespace("other")),
		"read Secrets everywhere":            api.List(c.Context(), &corev1.SecretList{}),
		"read StsCredentials elsewhere":      api.List(c.Context(), &v1alpha1.StsCredentialList{}, client.InNamespace("other")),
		"write a Secret elsewhere":           api.Create(c.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "other", Name: "a"}}),
		"write a Secret that is not its own": api.Create(c.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "a"}}),
	} {
		if !apierrors.IsForbidden(err) {
			c.Errorf("%s: %v, want it forbidden", what, err)
		}
	}
}
