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

// As docs/install.md says, an administrator installs everything from one file, narrows the operator to one namespace, widens it again, and takes it
// away: each time it has the rights that its work takes, and no others.
func TestMake(t *testing.T) {
	s := newSite(t)
	s.applyFile()
	s.wantImage()
	s.make("install")
	for _, namespace := range []string{"shop", "other"} {
		s.create(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}})
	}
	s.create(fixture.Grant("all", role, "shop", "other"))

	s.wantIssued("first", "shop", "other")

	s.make("deploy", "IMG="+image, "CONFIG=config/overlays/namespaced")
	s.wantIssued("second", "shop")
	s.wantForbidden("other")

	s.make("deploy", "IMG="+image)
	s.wantIssued("third", "shop", "other")

	s.wantImage()
	s.make("undeploy", "CONFIG=config/overlays/namespaced")
	s.wantGone()
	if !s.issued(credential("shop", "first")) {
		t.Error("the Secret went with the operator")
	}
	s.make("uninstall")
	if s.exists(client.ObjectKey{Name: "stscredentials.sts.alibabacloud.com"}, crd()) {
		t.Error("make uninstall leaves a CRD")
	}
}

func (s *site) wantImage() {
	s.Helper()
	var deployed appsv1.Deployment
	s.must(s.api.Get(s.Context(), deployment, &deployed))
	if got := deployed.Spec.Template.Spec.Containers[0].Image; got != image {
		s.Errorf("the image is %s, want %s", got, image)
	}
}

// wantIssued creates a StsCredential in both namespaces and wants those in the given ones issued and the others untouched.
func (s *site) wantIssued(name string, namespaces ...string) {
	s.Helper()
	other, shop := credential("other", name), credential("shop", name)
	s.create(other, shop)
	printed := s.operate(func(eventually func(string, func() bool)) {
		eventually(name+" is issued in shop", func() bool { return s.issued(shop) })
		if slices.Contains(namespaces, "other") {
			eventually(name+" is issued in other", func() bool { return s.issued(other) })
		}
	})
	if want := slices.Contains(namespaces, "other"); s.issued(other) != want || (len(other.Status.Conditions) > 0) != want {
		s.Errorf("%s in other: %+v, want it issued: %v", name, other.Status, want)
	}
	if strings.Contains(strings.ToLower(printed), "forbidden") {
		s.Errorf("the manager lacks a right:\n%s", printed)
	}
}

// wantForbidden insists that the operator's ServiceAccount has no right in the namespace.
func (s *site) wantForbidden(namespace string) {
	s.Helper()
	config, err := s.plane.UserConfig(operator, "system:serviceaccounts", "system:authenticated")
	s.must(err)
	api, err := client.New(config, client.Options{Scheme: s.api.Scheme()})
	s.must(err)
	for _, list := range []client.ObjectList{&corev1.SecretList{}, &v1alpha1.StsCredentialList{}} {
		if err := api.List(s.Context(), list, client.InNamespace(namespace)); !apierrors.IsForbidden(err) {
			s.Errorf("listing %T in %s: %v, want it forbidden", list, namespace, err)
		}
		if err := api.List(s.Context(), list, client.InNamespace("shop")); err != nil {
			s.Errorf("listing %T in shop: %v", list, err)
		}
	}
}

// applyFile applies dist/install.yaml to the empty cluster.
func (s *site) applyFile() {
	s.Helper()
	dir := s.TempDir()
	s.make("dist", "IMG="+image, "DIST="+dir)
	for line := range strings.Lines(s.run(s.kubectl(), "apply", "--validate=strict", "-f", filepath.Join(dir, "install.yaml"))) {
		if !strings.HasSuffix(line, " created\n") {
			s.Errorf("applying dist/install.yaml to an empty cluster: %s", line)
		}
	}
}

// wantGone insists that undeploy leaves what is the users' and nothing else.
func (s *site) wantGone() {
	s.Helper()
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
		if s.exists(gone.key, gone.object) {
			s.Errorf("make undeploy leaves %T %s", gone.object, gone.key)
		}
	}
	if !s.exists(client.ObjectKey{Name: "stscredentials.sts.alibabacloud.com"}, crd()) || !s.exists(client.ObjectKey{Name: "sts-system"}, &corev1.Namespace{}) {
		s.Error("make undeploy takes a CRD or the namespace away")
	}
}

func crd() *metav1.PartialObjectMetadata {
	return &metav1.PartialObjectMetadata{TypeMeta: metav1.TypeMeta{APIVersion: "apiextensions.k8s.io/v1", Kind: "CustomResourceDefinition"}}
}

// The overlay with Prometheus is the default and what scrapes it, nothing more and nothing less.
func TestWithPrometheus(t *testing.T) {
	want := slices.Concat(names(t, "default"), names(t, "prometheus"))
	slices.Sort(want)
	if got := names(t, "overlays/with-prometheus"); !slices.Equal(got, want) {
		t.Errorf("config/overlays/with-prometheus has\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// The namespaced overlay splits the generated rights in two, and neither adds nor drops one.
func TestNamespacedRights(t *testing.T) {
	all := rights(t, "rbac/role.yaml", "ClusterRole")
	split := slices.Concat(rights(t, "overlays/namespaced/cluster_role.yaml", "ClusterRole"), rights(t, "overlays/namespaced/role/role.yaml", "Role"))
	for _, right := range slices.Concat(all, split) {
		if slices.Contains(all, right) != slices.Contains(split, right) {
			t.Errorf("%s: in config/rbac/role.yaml %v, in config/overlays/namespaced %v", right, slices.Contains(all, right), slices.Contains(split, right))
		}
	}
}
