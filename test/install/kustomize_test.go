// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package install

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/test/fixture"
)

const image = "registry.example.com/sts-credential-operator:v1.2.3"

// As in docs/install.md, an administrator installs everything from one file, limits the operator to one namespace, removes the limit,
// and uninstalls the operator. Each time it has the rights that it needs, and no others.
func TestMake(t *testing.T) {
	env := newEnvironment(t)
	env.applyFile()
	env.wantImage()
	env.make("install")
	for _, namespace := range []string{"shop", "other"} {
		env.create(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}})
	}
	env.create(fixture.Grant("all", role, "shop", "other"))

	env.wantIssued("first", "shop", "other")

	env.make("deploy", "IMG="+image, "CONFIG=config/overlays/namespaced")
	env.wantIssued("second", "shop")
	env.wantForbidden("other")

	env.make("deploy", "IMG="+image)
	env.wantIssued("third", "shop", "other")

	env.wantImage()
	env.make("undeploy", "CONFIG=config/overlays/namespaced")
	env.wantGone()
	if !env.issued(credential("shop", "first")) {
		t.Error("the Secret went with the operator")
	}
	env.make("uninstall")
	if env.exists(client.ObjectKey{Name: "stscredentials.sts.alibabacloud.com"}, crd()) {
		t.Error("make uninstall leaves a CRD")
	}
}

func (env *environment) wantImage() {
	env.Helper()
	var deployed appsv1.Deployment
	env.must(env.api.Get(env.Context(), deployment, &deployed))
	if got := deployed.Spec.Template.Spec.Containers[0].Image; got != image {
		env.Errorf("the image is %s, want %s", got, image)
	}
}

// wantIssued creates an StsCredential in both namespaces. It requires that those in the given namespaces are issued, and the others not.
func (env *environment) wantIssued(name string, namespaces ...string) {
	env.Helper()
	other, shop := credential("other", name), credential("shop", name)
	env.create(other, shop)
	printed := env.operate(func(eventually func(string, func() bool)) {
		eventually(name+" is issued in shop", func() bool { return env.issued(shop) })
		if slices.Contains(namespaces, "other") {
			eventually(name+" is issued in other", func() bool { return env.issued(other) })
		}
	})
	if want := slices.Contains(namespaces, "other"); env.issued(other) != want || (len(other.Status.Conditions) > 0) != want {
		env.Errorf("%s in other: %+v, want it issued: %v", name, other.Status, want)
	}
	if strings.Contains(strings.ToLower(printed), "forbidden") {
		env.Errorf("the manager lacks a right:\n%s", printed)
	}
}

// wantForbidden requires that the operator's ServiceAccount has no right in the namespace.
func (env *environment) wantForbidden(namespace string) {
	env.Helper()
	config, err := env.plane.UserConfig(operator, "system:serviceaccounts", "system:authenticated")
	env.must(err)
	api, err := client.New(config, client.Options{Scheme: env.api.Scheme()})
	env.must(err)
	for _, list := range []client.ObjectList{&corev1.SecretList{}, &v1alpha1.StsCredentialList{}} {
		if err := api.List(env.Context(), list, client.InNamespace(namespace)); !apierrors.IsForbidden(err) {
			env.Errorf("listing %T in %s: %v, want it forbidden", list, namespace, err)
		}
		if err := api.List(env.Context(), list, client.InNamespace("shop")); err != nil {
			env.Errorf("listing %T in shop: %v", list, err)
		}
	}
}

// applyFile applies dist/install.yaml to the empty cluster.
func (env *environment) applyFile() {
	env.Helper()
	dir := env.TempDir()
	env.make("dist", "IMG="+image, "DIST="+dir)
	for line := range strings.Lines(env.run(env.kubectl(), "apply", "--validate=strict", "-f", filepath.Join(dir, "install.yaml"))) {
		if !strings.HasSuffix(line, " created\n") {
			env.Errorf("applying dist/install.yaml to an empty cluster: %s", line)
		}
	}
}

// wantGone requires that undeploy leaves the objects of users, and nothing else.
func (env *environment) wantGone() {
	env.Helper()
	cluster := client.ObjectKey{Name: deployment.Name}
	for _, gone := range []struct {
		key    client.ObjectKey
		object client.Object
	}{
		{deployment, &appsv1.Deployment{}}, {deployment, &policyv1.PodDisruptionBudget{}}, {deployment, &corev1.ServiceAccount{}},
		{client.ObjectKey{Namespace: "shop", Name: "sts-credential-operator-credentials"}, &rbacv1.Role{}},
		{deployment, &rbacv1.Role{}}, {deployment, &rbacv1.RoleBinding{}}, {cluster, &rbacv1.ClusterRole{}}, {cluster, &rbacv1.ClusterRoleBinding{}},
		{client.ObjectKey{Name: "sts-credential-operator-secrets"}, &admissionv1.ValidatingAdmissionPolicy{}},
		{client.ObjectKey{Name: "sts-credential-operator-secrets"}, &admissionv1.ValidatingAdmissionPolicyBinding{}},
	} {
		if env.exists(gone.key, gone.object) {
			env.Errorf("make undeploy leaves %T %s", gone.object, gone.key)
		}
	}
	if !env.exists(client.ObjectKey{Name: "stscredentials.sts.alibabacloud.com"}, crd()) || !env.exists(client.ObjectKey{Name: "sts-system"}, &corev1.Namespace{}) {
		env.Error("make undeploy takes a CRD or the namespace away")
	}
}

func crd() *metav1.PartialObjectMetadata {
	return &metav1.PartialObjectMetadata{TypeMeta: metav1.TypeMeta{APIVersion: "apiextensions.k8s.io/v1", Kind: "CustomResourceDefinition"}}
}

// The overlay with Prometheus consists of config/default and config/prometheus.
func TestWithPrometheus(t *testing.T) {
	want := slices.Concat(names(t, "default"), names(t, "prometheus"))
	slices.Sort(want)
	if got := names(t, "overlays/with-prometheus"); !slices.Equal(got, want) {
		t.Errorf("config/overlays/with-prometheus has\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// The namespaced overlay splits the generated rights in two. It neither adds nor removes a right.
func TestNamespacedRights(t *testing.T) {
	all := rights(t, "rbac/role.yaml", "ClusterRole")
	split := slices.Concat(rights(t, "overlays/namespaced/cluster_role.yaml", "ClusterRole"), rights(t, "overlays/namespaced/role/role.yaml", "Role"))
	for _, right := range slices.Concat(all, split) {
		if slices.Contains(all, right) != slices.Contains(split, right) {
			t.Errorf("%s: in config/rbac/role.yaml %v, in config/overlays/namespaced %v", right, slices.Contains(all, right), slices.Contains(split, right))
		}
	}
}
