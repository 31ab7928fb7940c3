// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stscredential

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
)

// The TestThreat tests are the table of docs/security.md: what a user of a namespace tries in order to get credentials or
// rights that are not theirs, and who refuses it.

// aggregation creates our ClusterRoles for users and starts the controller that adds them to view, edit and admin, which
// the shared control plane leaves out. Both stay until it ends: rights that come and go would make tests wait.
var aggregation = sync.OnceValue(func() error {
	kubeconfig := filepath.Join(plane.Dir(), "clusterrole-aggregation.kubeconfig")
	if err := plane.WriteKubeconfig(kubeconfig); err != nil {
		return err
	}
	program := filepath.Join(plane.Dir(), "clusterrole-aggregation") // a name of its own, so that it has a log of its own
	if err := os.Symlink(filepath.Join(plane.Assets(), "kube-controller-manager"), program); err != nil {
		return err
	}
	ctx := context.Background()
	if err := createRoles(ctx); err != nil {
		return err
	}
	started := func(context.Context) error { return nil }
	return plane.Run(ctx, started, program, "--kubeconfig="+kubeconfig,
		"--controllers=clusterrole-aggregation-controller", "--leader-elect=false", "--secure-port=0")
})

// createRoles creates config/rbac's ClusterRoles for users.
func createRoles(ctx context.Context) error {
	document, err := os.ReadFile(filepath.Join("..", "..", "config", "rbac", "user_roles.yaml"))
	if err != nil {
		return err
	}
	for part := range strings.SplitSeq(string(document), "\n---\n") {
		r := &rbacv1.ClusterRole{}
		if err := yaml.UnmarshalStrict([]byte(part), r); err != nil {
			return err
		}
		if err := client.IgnoreAlreadyExists(api.Create(ctx, r)); err != nil {
			return err
		}
	}
	return nil
}

// user is somebody whom a RoleBinding in the world's namespace gives one of Kubernetes' own ClusterRoles, with what our
// aggregated ones add to it.
func (w *world) user(clusterRole string) client.Client {
	w.Helper()
	w.must(aggregation())
	name := w.namespace + "-" + clusterRole
	w.must(api.Create(w.ctx, &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: clusterRole},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: name}},
	}))
	user := w.login(name)
	w.eventually("the user's rights are in force", func(ctx context.Context) bool {
		if clusterRole == "view" {
			return user.List(ctx, &v1alpha1.StsCredentialList{}, client.InNamespace(w.namespace)) == nil
		}
		return user.Create(ctx, w.asks("probe"), client.DryRunAll) == nil &&
			user.List(ctx, &v1alpha1.StsCredentialList{}, client.InNamespace(w.namespace)) == nil &&
			user.List(ctx, &corev1.SecretList{}, client.InNamespace(w.namespace)) == nil
	})
	return user
}

func (w *world) login(name string) client.Client {
	w.Helper()
	theirs, err := plane.UserConfig(name)
	w.must(err)
	user, err := client.New(theirs, client.Options{Scheme: scheme})
	w.must(err)
	return user
}

// asks is a StsCredential of the role in the world's namespace.
func (w *world) asks(name string, change ...func(*v1alpha1.StsCredential)) *v1alpha1.StsCredential {
	c := &v1alpha1.StsCredential{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name}, Spec: v1alpha1.StsCredentialSpec{RoleARN: role},
	}
	for _, f := range change {
		f(c)
	}
	return c
}

// What RBAC refuses to somebody who has edit in a namespace.
func TestThreatRights(t *testing.T) {
	victim := newWorld(t)
	theirs := victim.credential("orders")
	victim.pass(theirs)
	w := newWorld(t)
	user := w.user("edit")
	own := w.asks("orders")
	w.must(user.Create(w.ctx, own))
	grant := &v1alpha1.StsRoleGrant{}
	w.must(api.Get(w.ctx, client.ObjectKey{Name: w.namespace}, grant))
	for _, tt := range []struct {
		name string
		try  func() error
	}{
		{"create a grant", func() error {
			g := &v1alpha1.StsRoleGrant{ObjectMeta: metav1.ObjectMeta{Name: w.namespace + "-mine"}, Spec: grant.Spec}
			return user.Create(w.ctx, g)
		}},
		{"widen a grant", func() error {
			g := grant.DeepCopy()
			g.Spec.RoleARNs = []v1alpha1.RoleARNPattern{"acs:ram::" + account + ":role/a*"}
			return user.Update(w.ctx, g)
		}},
		{"patch a grant", func() error { return user.Patch(w.ctx, grant.DeepCopy(), merge(`{"spec":{"maxDuration":"12h"}}`)) }},
		{"delete a grant", func() error { return user.Delete(w.ctx, grant.DeepCopy()) }},
		{"delete all grants", func() error { return user.DeleteAllOf(w.ctx, &v1alpha1.StsRoleGrant{}) }},
		{"read a grant", func() error { return user.Get(w.ctx, client.ObjectKeyFromObject(grant), &v1alpha1.StsRoleGrant{}) }},
		{"list the grants", func() error { return user.List(w.ctx, &v1alpha1.StsRoleGrantList{}) }},
		{"write the status of a StsCredential", func() error {
			return user.Status().Patch(w.ctx, own.DeepCopy(), merge(`{"status":{"grantName":"x"}}`))
		}},
		{"update the status of a StsCredential", func() error { return user.Status().Update(w.ctx, own.DeepCopy()) }},
		{"create a StsCredential in another namespace", func() error {
			c := w.asks("mine")
			c.Namespace = victim.namespace
			return user.Create(w.ctx, c)
		}},
		{"change a StsCredential of another namespace", func() error {
			return user.Patch(w.ctx, theirs.DeepCopy(), merge(`{"spec":{"secret":{"labels":{"x":"y"}}}}`))
		}},
		{"read a StsCredential of another namespace", func() error {
			return user.Get(w.ctx, client.ObjectKeyFromObject(theirs), &v1alpha1.StsCredential{})
		}},
		{"list the StsCredentials of all namespaces", func() error { return user.List(w.ctx, &v1alpha1.StsCredentialList{}) }},
		{"read the Secret of another namespace", func() error {
			return user.Get(w.ctx, client.ObjectKey{Namespace: victim.namespace, Name: "orders"}, &corev1.Secret{})
		}},
		{"label the namespace, for a selector", func() error {
			return user.Patch(w.ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: w.namespace}}, merge(`{"metadata":{"labels":{"team":"shop"}}}`))
		}},
		{"request a token of another namespace's ServiceAccount", func() error {
			account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: victim.namespace, Name: "default"}}
			return user.SubResource("token").Create(w.ctx, account, &authenticationv1.TokenRequest{})
		}},
		{"request a token of the operator's ServiceAccount", func() error {
			account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "sts-system", Name: "sts-credential-operator"}}
			return user.SubResource("token").Create(w.ctx, account, &authenticationv1.TokenRequest{})
		}},
		{"act as the operator", func() error {
			theirs, err := plane.UserConfig(w.namespace + "-edit")
			w.must(err)
			theirs.Impersonate = rest.ImpersonationConfig{UserName: operatorUser}
			operator, err := client.New(theirs, client.Options{Scheme: scheme})
			w.must(err)
			return operator.List(w.ctx, &corev1.SecretList{})
		}},
		{"bind the operator's ClusterRole", func() error {
			return user.Create(w.ctx, &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "mine"},
				RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "sts-credential-operator"},
				Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: w.namespace + "-edit"}}})
		}},
		{"remove the fence", func() error {
			return user.Delete(w.ctx, &admissionregistrationv1.ValidatingAdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Name: "sts-credential-operator-token-requests"}})
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := tt.try(); !apierrors.IsForbidden(err) {
				t.Errorf("got %v, want it forbidden", err)
			}
		})
	}
}

// What the aggregated ClusterRoles do give, so that the refusals above are not those of an empty role.
func TestThreatRightsThatAreGiven(t *testing.T) {
	w := newWorld(t)
	for _, clusterRole := range []string{"edit", "admin"} {
		user := w.user(clusterRole)
		c := w.asks(clusterRole)
		w.must(user.Create(w.ctx, c))
		w.must(user.Patch(w.ctx, c, merge(`{"metadata":{"annotations":{"sts.alibabacloud.com/renew-requested-at":"now"}}}`)))
		c.Spec.Suspend = true
		w.must(user.Update(w.ctx, c))
		w.must(user.Get(w.ctx, client.ObjectKeyFromObject(c), c))
		w.must(user.Delete(w.ctx, c))
	}
	viewer, c := w.user("view"), w.credential("orders")
	w.must(viewer.Get(w.ctx, client.ObjectKeyFromObject(c), c))
	w.pass(c)
	for what, err := range map[string]error{
		"create": viewer.Create(w.ctx, w.asks("mine")), "patch": viewer.Patch(w.ctx, c.DeepCopy(), merge(`{"spec":{"suspend":true}}`)), "delete": viewer.Delete(w.ctx, c.DeepCopy()),
		"read the Secret": viewer.Get(w.ctx, client.ObjectKey{Namespace: w.namespace, Name: "orders"}, &corev1.Secret{}),
	} {
		if !apierrors.IsForbidden(err) {
			t.Errorf("a viewer may %s: %v", what, err)
		}
	}
}

// What no grant covers: it is admitted, told as RoleNotGranted, and STS is not asked.
func TestThreatGrants(t *testing.T) {
	victim := newWorld(t)
	theirs := victim.credential("orders")
	const payments = "acs:ram::" + account + ":role/payments"
	victim.grant(func(g *v1alpha1.StsRoleGrantSpec) { g.RoleARNs = append(g.RoleARNs, payments) })
	w := newWorld(t)
	user := w.user("edit")
	w.grant(func(g *v1alpha1.StsRoleGrantSpec) {
		g.RoleARNs = append(g.RoleARNs, "acs:ram::"+account+":role/shop-*-reader")
	})
	roleOf := func(arn string) func(*v1alpha1.StsCredential) {
		w.addRole(arn)
		return func(c *v1alpha1.StsCredential) { c.Spec.RoleARN = arn }
	}
	session := func(name string) func(*v1alpha1.StsCredential) {
		return func(c *v1alpha1.StsCredential) { c.Spec.SessionName = name }
	}
	long := strings.Repeat("a", 60)
	for _, tt := range []struct {
		name  string
		given func(*v1alpha1.StsCredential)
	}{
		{"a role that another namespace is granted", roleOf(payments)},
		{"a role whose name goes on", roleOf(role + "-admin")},
		{"a role whose name is shorter", roleOf(strings.TrimSuffix(role, "r"))},
		{"upper case", roleOf("acs:ram::" + account + ":role/Orders-Reader")},
		{"another account", roleOf("acs:ram::9876543210987654:role/orders-reader")},
		{"the account with a zero before it", roleOf("acs:ram::0" + account + ":role/orders-reader")},
		{"less than the pattern's end", roleOf("acs:ram::" + account + ":role/shop-x")},
		{"more than the pattern's end", roleOf("acs:ram::" + account + ":role/shop-x-reader-admin")},
		{"more than the pattern's beginning", roleOf("acs:ram::" + account + ":role/x-shop-x-reader")},
		{"another namespace's default session name", session(theirs.SessionName(""))},
		{"another namespace's session prefix", session(victim.namespace + ".mine")},
		{"a prefix that goes on", session(w.namespace + "2.orders")},
		{"a prefix without its dot", session(w.namespace)},
		{"a prefix with another sign in place of the dot", session(w.namespace + "@orders")},
		{"the prefix in upper case", session(strings.ToUpper(w.namespace) + ".orders")},
		{"the prefix in the middle", session("x." + w.namespace + ".orders")},
		{"a source identity", func(c *v1alpha1.StsCredential) { c.Spec.SourceIdentity = "alice" }},
		{"another one's role under a long name", func(c *v1alpha1.StsCredential) { c.Name, c.Spec.RoleARN = long, payments }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := w.asks("try", tt.given)
			w.must(user.Create(w.ctx, c))
			w.pass(c)
			w.wantCalls(0)
			w.wantCondition(c, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonRoleNotGranted, "")
			if w.secret(c.SecretName()) != nil {
				t.Error("there is a Secret")
			}
			w.must(user.Delete(w.ctx, c))
		})
	}
	c := w.asks("mine", roleOf("acs:ram::"+account+":role/shop-x-reader"), session(w.namespace+".any"))
	w.must(user.Create(w.ctx, c))
	w.pass(c)
	w.wantCondition(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
}
