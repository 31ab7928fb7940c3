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
	program := filepath.Join(cluster.Dir(), "clusterrole-aggregation") // a name of its own, so that it has a log of its own
	if err := os.Symlink(filepath.Join(cluster.Assets(), "kube-controller-manager"), program); err != nil {
		return err
	}
	ctx := context.Background()
	if err := createRoles(ctx); err != nil {
		return err
	}
	started := func(context.Context) error { return nil }
	return cluster.Run(ctx, started, program, "--kubeconfig="+cluster.Kubeconfig(),
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

// user is somebody whom a RoleBinding in the test's namespace gives one of Kubernetes' own ClusterRoles, with what our
// aggregated ones add to it.
func (env *environment) user(clusterRole string) client.Client {
	env.Helper()
	env.Must(aggregation())
	name := env.Namespace + "-" + clusterRole
	env.Must(api.Create(env.Context(), &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: env.Namespace, Name: name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: clusterRole},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: name}},
	}))
	user := env.Login(name)
	env.Eventually("the user's rights are in force", func(ctx context.Context) bool {
		if clusterRole == "view" {
			return user.List(ctx, &v1alpha1.StsCredentialList{}, client.InNamespace(env.Namespace)) == nil
		}
		return user.Create(ctx, env.NewCredential("probe"), client.DryRunAll) == nil &&
			user.List(ctx, &v1alpha1.StsCredentialList{}, client.InNamespace(env.Namespace)) == nil &&
			user.List(ctx, &corev1.SecretList{}, client.InNamespace(env.Namespace)) == nil
	})
	return user
}

// What RBAC refuses to somebody who has edit in a namespace.
func TestThreatRights(t *testing.T) {
	victim := newEnvironment(t)
	theirs := victim.CreateCredential("orders")
	victim.reconcile(theirs)
	env := newEnvironment(t)
	user := env.user("edit")
	own := env.NewCredential("orders")
	env.Must(user.Create(env.Context(), own))
	grant := &v1alpha1.StsRoleGrant{}
	env.Must(api.Get(env.Context(), client.ObjectKey{Name: env.Namespace}, grant))
	for _, tt := range []struct {
		name string
		try  func() error
	}{
		{"create a grant", func() error {
			g := &v1alpha1.StsRoleGrant{ObjectMeta: metav1.ObjectMeta{Name: env.Namespace + "-mine"}, Spec: grant.Spec}
			return user.Create(env.Context(), g)
		}},
		{"widen a grant", func() error {
			g := grant.DeepCopy()
			g.Spec.RoleARNs = []v1alpha1.RoleARNPattern{"acs:ram::" + account + ":role/a*"}
			return user.Update(env.Context(), g)
		}},
		{"patch a grant", func() error {
			return user.Patch(env.Context(), grant.DeepCopy(), merge(`{"spec":{"maxDuration":"12h"}}`))
		}},
		{"delete a grant", func() error { return user.Delete(env.Context(), grant.DeepCopy()) }},
		{"delete all grants", func() error { return user.DeleteAllOf(env.Context(), &v1alpha1.StsRoleGrant{}) }},
		{"read a grant", func() error {
			return user.Get(env.Context(), client.ObjectKeyFromObject(grant), &v1alpha1.StsRoleGrant{})
		}},
		{"list the grants", func() error { return user.List(env.Context(), &v1alpha1.StsRoleGrantList{}) }},
		{"write the status of an StsCredential", func() error {
			return user.Status().Patch(env.Context(), own.DeepCopy(), merge(`{"status":{"grantName":"x"}}`))
		}},
		{"update the status of an StsCredential", func() error { return user.Status().Update(env.Context(), own.DeepCopy()) }},
		{"create an StsCredential in another namespace", func() error {
			c := env.NewCredential("mine")
			c.Namespace = victim.Namespace
			return user.Create(env.Context(), c)
		}},
		{"change an StsCredential of another namespace", func() error {
			return user.Patch(env.Context(), theirs.DeepCopy(), merge(`{"spec":{"secret":{"labels":{"x":"y"}}}}`))
		}},
		{"read an StsCredential of another namespace", func() error {
			return user.Get(env.Context(), client.ObjectKeyFromObject(theirs), &v1alpha1.StsCredential{})
		}},
		{"list the StsCredentials of all namespaces", func() error { return user.List(env.Context(), &v1alpha1.StsCredentialList{}) }},
		{"read the Secret of another namespace", func() error {
			return user.Get(env.Context(), client.ObjectKey{Namespace: victim.Namespace, Name: "orders"}, &corev1.Secret{})
		}},
		{"label the namespace, for a selector", func() error {
			return user.Patch(env.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: env.Namespace}}, merge(`{"metadata":{"labels":{"team":"shop"}}}`))
		}},
		{"request a token of another namespace's ServiceAccount", func() error {
			account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: victim.Namespace, Name: "default"}}
			return user.SubResource("token").Create(env.Context(), account, &authenticationv1.TokenRequest{})
		}},
		{"request a token of the operator's ServiceAccount", func() error {
			account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "sts-system", Name: "sts-credential-operator"}}
			return user.SubResource("token").Create(env.Context(), account, &authenticationv1.TokenRequest{})
		}},
		{"act as the operator", func() error {
			theirs, err := cluster.UserConfig(env.Namespace + "-edit")
			env.Must(err)
			theirs.Impersonate = rest.ImpersonationConfig{UserName: operatorUser}
			operator, err := client.New(theirs, client.Options{Scheme: cluster.Scheme})
			env.Must(err)
			return operator.List(env.Context(), &corev1.SecretList{})
		}},
		{"bind the operator's ClusterRole", func() error {
			return user.Create(env.Context(), &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Namespace: env.Namespace, Name: "mine"},
				RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "sts-credential-operator"},
				Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: env.Namespace + "-edit"}}})
		}},
		{"remove the fence", func() error {
			return user.Delete(env.Context(), &admissionregistrationv1.ValidatingAdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Name: "sts-credential-operator-token-requests"}})
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
	env := newEnvironment(t)
	for _, clusterRole := range []string{"edit", "admin"} {
		user := env.user(clusterRole)
		c := env.NewCredential(clusterRole)
		env.Must(user.Create(env.Context(), c))
		env.Must(user.Patch(env.Context(), c, merge(`{"metadata":{"annotations":{"sts.alibabacloud.com/renew-requested-at":"now"}}}`)))
		c.Spec.Suspend = true
		env.Must(user.Update(env.Context(), c))
		env.Must(user.Get(env.Context(), client.ObjectKeyFromObject(c), c))
		env.Must(user.Delete(env.Context(), c))
	}
	viewer, c := env.user("view"), env.CreateCredential("orders")
	env.Must(viewer.Get(env.Context(), client.ObjectKeyFromObject(c), c))
	env.reconcile(c)
	for what, err := range map[string]error{
		"create": viewer.Create(env.Context(), env.NewCredential("mine")), "patch": viewer.Patch(env.Context(), c.DeepCopy(), merge(`{"spec":{"suspend":true}}`)), "delete": viewer.Delete(env.Context(), c.DeepCopy()),
		"read the Secret": viewer.Get(env.Context(), client.ObjectKey{Namespace: env.Namespace, Name: "orders"}, &corev1.Secret{}),
	} {
		if !apierrors.IsForbidden(err) {
			t.Errorf("a viewer may %s: %v", what, err)
		}
	}
}

// What no grant covers: it is admitted and reported as RoleNotGranted, and STS is not called.
func TestThreatGrants(t *testing.T) {
	victim := newEnvironment(t)
	theirs := victim.CreateCredential("orders")
	const payments = "acs:ram::" + account + ":role/payments"
	victim.Grant(func(g *v1alpha1.StsRoleGrantSpec) { g.RoleARNs = append(g.RoleARNs, payments) })
	env := newEnvironment(t)
	user := env.user("edit")
	env.Grant(func(g *v1alpha1.StsRoleGrantSpec) {
		g.RoleARNs = append(g.RoleARNs, "acs:ram::"+account+":role/shop-*-reader")
	})
	roleOf := func(arn string) func(*v1alpha1.StsCredential) {
		env.AddRole(arn)
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
		{"another namespace's session prefix", session(victim.Namespace + ".mine")},
		{"a prefix that goes on", session(env.Namespace + "2.orders")},
		{"a prefix without its dot", session(env.Namespace)},
		{"a prefix with another sign in place of the dot", session(env.Namespace + "@orders")},
		{"the prefix in upper case", session(strings.ToUpper(env.Namespace) + ".orders")},
		{"the prefix in the middle", session("x." + env.Namespace + ".orders")},
		{"a source identity", func(c *v1alpha1.StsCredential) { c.Spec.SourceIdentity = "alice" }},
		{"another one's role under a long name", func(c *v1alpha1.StsCredential) { c.Name, c.Spec.RoleARN = long, payments }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := env.NewCredential("try", tt.given)
			env.Must(user.Create(env.Context(), c))
			env.reconcile(c)
			env.WantCalls(0)
			env.WantCondition(c, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonRoleNotGranted, "")
			if env.Secret(c.SecretName()) != nil {
				t.Error("there is a Secret")
			}
			env.Must(user.Delete(env.Context(), c))
		})
	}
	c := env.NewCredential("mine", roleOf("acs:ram::"+account+":role/shop-x-reader"), session(env.Namespace+".any"))
	env.Must(user.Create(env.Context(), c))
	env.reconcile(c)
	env.WantCondition(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
}
