// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package chart

import (
	"reflect"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/diff"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/test/docs"
)

// templated is what helm template prints without a cluster, and without the pods of helm test: what Argo CD applies.
func templated(t *testing.T, chart, values string) (string, objects) {
	t.Helper()
	out, err := helm(t, values, "template", release, chart, "--namespace="+namespace, "--skip-tests", "--values=-")
	if err != nil {
		t.Fatal(err)
	}
	return out, parse(t, out)
}

// helm template prints what helm install creates: each object once, the grants included, and no hook.
func TestTemplateIsInstall(t *testing.T) {
	c := newCluster(t)
	page, err := docs.Read(root, "charts/sts-credential-operator/README.md")
	c.must(err)
	c.must(page.Play(t.Context(), c.reader(), "TestTemplateIsInstall"))

	out, o := templated(t, chart, values+oneGrant)
	if strings.Contains(out, "helm.sh/hook") {
		t.Errorf("there is a hook in\n%s", out)
	}
	for range 2 { // the second run changes nothing
		_, err = command(t, out, c.programs+"/kubectl", "--kubeconfig="+c.kubeconfig, "apply", "--server-side", "--validate=strict", "--filename=-")
		c.must(err)
	}
	c.wantGrants("shop", "web")
	grant := &v1alpha1.StsRoleGrant{}
	if !c.has(grant, "", "shop") || grant.Generation != 1 {
		t.Errorf("the grant is %+v", grant.ObjectMeta)
	}
	for key, object := range o {
		if !c.has(object.DeepCopy(), object.GetNamespace(), object.GetName()) {
			t.Errorf("kubectl apply created no %s", key)
		}
	}
}

// wantTemplated compares the release in the cluster with what helm template prints. Its grants are hooks when the cluster has no
// CRDs, so they are compared by name.
func (c *cluster) wantTemplated(chart, values string) {
	c.Helper()
	_, want := templated(c.T, chart, values)
	got := parse(c.T, c.helm("", "get", "manifest", release))
	grants := c.grants()
	for key, object := range want {
		switch {
		case object.GetKind() == "StsRoleGrant":
			if grants[object.GetName()] == "" {
				c.Errorf("helm install created no %s", key)
			}
			delete(grants, object.GetName())
		case got[key] == nil:
			c.Errorf("helm install created no %s", key)
		case !reflect.DeepEqual(object.Object, got[key].Object):
			c.Errorf("%s: helm template -, helm install +\n%s", key, diff.Diff(object.Object, got[key].Object))
		}
		delete(got, key)
	}
	if len(got) > 0 || len(grants) > 0 {
		c.Errorf("helm template prints no %v, and no grants %v", got.keys(), grants)
	}
}
