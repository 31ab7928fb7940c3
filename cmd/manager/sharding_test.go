// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/test/stsemulator"
)

// shared is an environment with two managers that share the work. Each has its own AccessKey, which identifies its calls.
type shared struct {
	*environment
	whose    map[string]string // the manager by its AccessKey
	managers []*exec.Cmd
}

// share starts two managers with these flags.
func (env *environment) share(flags map[string]string) *shared {
	env.Helper()
	r := &shared{environment: env, whose: map[string]string{}}
	var trusted []string
	for name := range flags {
		trusted = append(trusted, "acs:ram::"+account+":user/"+name)
	}
	env.emulator.AddRole(stsemulator.Role{ARN: role, Trust: []stsemulator.Statement{{RAM: trusted}}})
	for name, flag := range flags {
		env.key = env.emulator.AddUser(account, name)
		r.whose[env.key.ID] = name
		r.managers = append(r.managers, env.start(flag, "--max-concurrent-reconciles=8"))
	}
	return r
}

// ask creates a namespace that is granted the role, and StsCredentials in it.
func (r *shared) ask(namespace string, names ...string) {
	r.Helper()
	r.must(r.api.Create(r.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}))
	r.must(r.api.Create(r.Context(), &v1alpha1.StsRoleGrant{ObjectMeta: metav1.ObjectMeta{Name: namespace}, Spec: v1alpha1.StsRoleGrantSpec{
		Namespaces: v1alpha1.GrantNamespaces{Names: []v1alpha1.NamespaceName{v1alpha1.NamespaceName(namespace)}}, RoleARNs: []v1alpha1.RoleARNPattern{role},
	}}))
	for i, name := range names {
		c := &v1alpha1.StsCredential{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: fmt.Sprint(name, "-", i)}, Spec: v1alpha1.StsCredentialSpec{RoleARN: role}}
		if shard, ok := strings.CutPrefix(name, "shard-"); ok {
			c.Labels = map[string]string{"shard": shard}
		}
		r.must(r.api.Create(r.Context(), c))
	}
}

// issuers returns, by session name, the manager of each call to STS.
func (r *shared) issuers() map[string][]string {
	asked := map[string][]string{}
	for _, c := range r.emulator.Calls() {
		if c.Action == "AssumeRole" {
			asked[c.SessionName] = append(asked[c.SessionName], r.whose[c.AccessKeyID])
		}
	}
	return asked
}

// patch changes an StsCredential as a user does.
func (r *shared) patch(c *v1alpha1.StsCredential, metadata string) {
	r.Helper()
	r.must(r.api.Patch(r.Context(), c, client.RawPatch("application/merge-patch+json", []byte(`{"metadata":`+metadata+`}`))))
}

// wantIssuers requires that each credential was issued so many times, each time by its own manager.
func (r *shared) wantIssuers(times int, of func(*v1alpha1.StsCredential) string) {
	r.Helper()
	var all v1alpha1.StsCredentialList
	r.must(r.api.List(r.Context(), &all))
	want := map[string][]string{}
	for _, c := range all.Items {
		if owner := of(&c); owner != "" {
			want[c.Namespace+"."+c.Name] = slices.Repeat([]string{owner}, times)
		}
	}
	total := func(m map[string][]string) (n int) {
		for _, calls := range m {
			n += len(calls)
		}
		return n
	}
	r.eventually(fmt.Sprint(total(want), " calls are made, and all is ready"), func() bool {
		return total(r.issuers()) >= total(want) && r.ready() == len(want)
	})
	if got := r.issuers(); !maps.EqualFunc(got, want, slices.Equal) {
		r.Errorf("credentials were issued by\n%v, want\n%v", got, want)
	}
}

// renewAll requests a renewal of each.
func (r *shared) renewAll() {
	r.Helper()
	var all v1alpha1.StsCredentialList
	r.must(r.api.List(r.Context(), &all))
	for i := range all.Items {
		r.patch(&all.Items[i], `{"annotations":{"sts.alibabacloud.com/renew-requested-at":"now"}}`)
	}
}

// end stops the managers, and requires that they printed no secret value.
func (r *shared) end() {
	r.Helper()
	for _, manager := range r.managers {
		r.stop(manager)
	}
	r.wantSilent()
}

// Two operators that share the work by labels do not overlap. After a change of a label, the other one takes over without a call to STS.
func TestShardsBySelector(t *testing.T) {
	r := newEnvironment(t).share(map[string]string{"a": "--selector=shard=a", "rest": "--selector=shard!=a"})
	r.ask("team-1", slices.Concat(slices.Repeat([]string{"shard-a"}, 10), slices.Repeat([]string{"shard-b"}, 5), slices.Repeat([]string{"plain"}, 5))...)
	r.ask("team-2", "shard-a", "plain", "shard-b", "shard-a")
	byLabel := func(c *v1alpha1.StsCredential) string {
		if c.Labels["shard"] == "a" {
			return "a"
		}
		return "rest"
	}
	r.wantIssuers(1, byLabel)
	r.renewAll()
	r.wantIssuers(2, byLabel)

	moved := &v1alpha1.StsCredential{ObjectMeta: metav1.ObjectMeta{Namespace: "team-1", Name: "shard-a-0"}}
	r.patch(moved, `{"labels":{"shard":"b"}}`)
	r.patch(moved, `{"annotations":{"sts.alibabacloud.com/renew-requested-at":"again"}}`)
	name := moved.Namespace + "." + moved.Name
	r.eventually("the other one renews it", func() bool { return len(r.issuers()[name]) == 3 })
	if got, want := r.issuers()[name], []string{"a", "a", "rest"}; !slices.Equal(got, want) {
		t.Errorf("it was issued by %v, want %v", got, want)
	}
	r.end()
}

// Two operators that share the work by namespaces do not overlap, and ignore other namespaces.
func TestShardsByNamespaces(t *testing.T) {
	r := newEnvironment(t).share(map[string]string{"a": "--namespaces=team-1", "b": "--namespaces=team-2,team-3"})
	r.ask("nobodys", "orders")
	for _, namespace := range []string{"team-1", "team-2", "team-3"} {
		r.ask(namespace, slices.Repeat([]string{"orders"}, 8)...)
	}
	byNamespace := func(c *v1alpha1.StsCredential) string {
		return map[string]string{"team-1": "a", "team-2": "b", "team-3": "b"}[c.Namespace]
	}
	r.wantIssuers(1, byNamespace)
	r.renewAll()
	r.wantIssuers(2, byNamespace)
	left := &v1alpha1.StsCredential{}
	r.must(r.api.Get(r.Context(), client.ObjectKey{Namespace: "nobodys", Name: "orders-0"}, left))
	if len(left.Status.Conditions) > 0 {
		t.Errorf("somebody looked after what is nobody's: %+v", left.Status)
	}
	r.end()
}
