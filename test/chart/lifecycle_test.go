// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package chart

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
)

const (
	credentials = "stscredentials.sts.alibabacloud.com"
	roleGrants  = "stsrolegrants.sts.alibabacloud.com"
	values      = "identity: {existingSecret: ram-user}\n"
	oneGrant    = `
roleGrants:
  - {name: shop, namespaces: {names: [shop]}, roleARNs: ["acs:ram::1234567890123456:role/shop-*"]}
  - {name: web, namespaces: {names: [web]}, roleARNs: ["acs:ram::1234567890123456:role/web"]}
`
	otherGrants = `
roleGrants:
  - {name: shop, namespaces: {names: [shop]}, roleARNs: ["acs:ram::1234567890123456:role/shop-*"], maxDuration: 1h}
  - {name: new, namespaces: {names: [new]}, roleARNs: ["acs:ram::1234567890123456:role/new"],
     policy: {Version: "1", Statement: [{Effect: Allow, Action: ["ots:Get*"], Resource: ["*"]}]}}
`
)

// previousChart is the chart as an older version may have been: its CRD lacks a field, its image has another tag.
func previousChart(t *testing.T) string {
	t.Helper()
	previous := filepath.Join(t.TempDir(), "previous")
	if err := os.CopyFS(previous, os.DirFS(chart)); err != nil {
		t.Fatal(err)
	}
	replace := func(file, old, replacement string) {
		path := filepath.Join(previous, file)
		content, err := os.ReadFile(path)
		if err != nil || !strings.Contains(string(content), old) {
			t.Fatalf("%s lacks %q: %v", file, old, err)
		}
		if err := os.WriteFile(path, []byte(strings.ReplaceAll(string(content), old, replacement)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	replace("Chart.yaml", "\nappVersion: ", "\nappVersion: previous-")
	replace("files/crds/"+"sts.alibabacloud.com_stscredentials.yaml", "\n              suspend:\n", "\n              suspended:\n")
	return previous
}

// knowsSuspend reports which CRD is installed.
func (c *cluster) knowsSuspend() bool {
	c.Helper()
	crd := &apiextensionsv1.CustomResourceDefinition{}
	if !c.has(crd, "", credentials) {
		c.Fatal("no CRD")
	}
	_, known := crd.Spec.Versions[0].Schema.OpenAPIV3Schema.Properties["spec"].Properties["suspend"]
	return known
}

// grants are the UIDs of the StsRoleGrants by name.
func (c *cluster) grants() map[string]types.UID {
	c.Helper()
	var list v1alpha1.StsRoleGrantList
	c.must(c.api.List(c.Context(), &list))
	found := map[string]types.UID{}
	for _, grant := range list.Items {
		found[grant.Name] = grant.UID
	}
	return found
}

func (c *cluster) wantGrants(names ...string) map[string]types.UID {
	c.Helper()
	got := c.grants()
	for _, name := range names {
		if got[name] == "" {
			c.Errorf("no StsRoleGrant %s in %v", name, got)
		}
	}
	if len(got) != len(names) {
		c.Errorf("StsRoleGrants %v, want %v", got, names)
	}
	return got
}

func (c *cluster) wantPrinted(out, want string) {
	c.Helper()
	if !strings.Contains(out, want) {
		c.Errorf("helm printed no %q:\n%s", want, out)
	}
}

// A release from its first install on an empty cluster to its end, and again: CRDs and what users wrote stay, grants of
// the values come and go with them.
func TestLifecycle(t *testing.T) {
	c := newCluster(t)
	previous := previousChart(t)

	out := c.helm(values+oneGrant, "install", release, previous, "--create-namespace", "--values=-")
	c.wantPrinted(out, "! identity: Secret sts-system/ram-user is not there yet")
	first := c.wantGrants("shop", "web")
	c.wantTemplated(previous, values+oneGrant)
	if c.knowsSuspend() {
		t.Error("the previous chart has today's CRD")
	}
	credential := &v1alpha1.StsCredential{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "orders"}, Spec: v1alpha1.StsCredentialSpec{RoleARN: "acs:ram::1234567890123456:role/orders"}}
	c.must(c.api.Create(t.Context(), credential))
	c.must(c.api.Create(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "ram-user"},
		StringData: map[string]string{"ALIBABA_CLOUD_ACCESS_KEY_ID": "LTAI", "ALIBABA_CLOUD_ACCESS_KEY_SECRET": "not-for-notes"}}))

	out = c.helm(values+otherGrants, "upgrade", release, chart, "--values=-")
	c.wantPrinted(out, "✔ identity: Secret sts-system/ram-user\n")
	if strings.Contains(out, "not-for-notes") {
		t.Errorf("helm printed the key:\n%s", out)
	}
	second := c.wantGrants("shop", "new")
	if second["shop"] != first["shop"] || !c.knowsSuspend() {
		t.Errorf("grants %v were %v; the CRD knows suspend: %v", second, first, c.knowsSuspend())
	}
	deployment := &appsv1.Deployment{}
	if !c.has(deployment, namespace, fullName) || strings.Contains(deployment.Spec.Template.Spec.Containers[0].Image, "previous") {
		t.Errorf("the Deployment after the upgrade: %v", deployment.Spec)
	}

	c.helm("", "rollback", release, "1")
	third := c.wantGrants("shop", "web")
	grant := &v1alpha1.StsRoleGrant{}
	if !c.has(grant, "", "shop") || grant.Spec.MaxDuration != nil || c.knowsSuspend() {
		t.Errorf("after the rollback %v %v; the CRD knows suspend: %v", third, grant.Spec, c.knowsSuspend())
	}
	c.helm("", "upgrade", release, chart, "--reset-then-reuse-values")
	if fourth := c.wantGrants("shop", "web"); fourth["web"] != third["web"] || !c.knowsSuspend() {
		t.Errorf("after another upgrade %v; the CRD knows suspend: %v", fourth, c.knowsSuspend())
	}

	c.uninstalled(credential)
	// A second first install finds the CRDs there.
	out = c.helm(values, "install", release, chart, "--values=-")
	c.wantPrinted(out, "! no StsRoleGrant yet: kubectl apply -f grant.yaml")
	c.helm(values, "upgrade", release, chart, "--values=-", "--set=crds.keep=false")
	c.helm("", "uninstall", release, "--wait")
	c.eventually("the end of the CRDs", func() bool {
		return !c.has(&apiextensionsv1.CustomResourceDefinition{}, "", credentials) && !c.has(&apiextensionsv1.CustomResourceDefinition{}, "", roleGrants)
	})

	// Uninstalled without ever an upgrade, the grants of the first install go too.
	c.helm(values+oneGrant, "install", release, chart, "--values=-")
	c.wantGrants("shop", "web")
	c.must(c.api.Create(t.Context(), &v1alpha1.StsCredential{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "orders"}, Spec: credential.Spec}))
	c.uninstalled(credential)
}

// uninstalled uninstalls the release: what it made is gone, except the CRDs and so what users made.
func (c *cluster) uninstalled(kept *v1alpha1.StsCredential) {
	c.Helper()
	c.wantPrinted(c.helm("", "uninstall", release, "--wait"), "kept due to the resource policy")
	c.wantGrants()
	if !c.has(&v1alpha1.StsCredential{}, kept.Namespace, kept.Name) {
		c.Error("a StsCredential is gone")
	}
	if c.has(&appsv1.Deployment{}, namespace, fullName) || c.has(&rbacv1.ClusterRole{}, "", fullName) || c.has(&rbacv1.ClusterRoleBinding{}, "", fullName) {
		c.Error("the operator or its rights are still there")
	}
}
