// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stscredential

import (
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
)

// enqueued runs a handler and returns the names of the credentials of these namespaces that it queued.
func enqueued(environments []*environment, handle func(q queue)) []string {
	q := workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[reconcile.Request]())
	defer q.ShutDown()
	handle(q)
	var names []string
	for q.Len() > 0 {
		request, _ := q.Get()
		q.Done(request)
		for _, env := range environments {
			if request.Namespace == env.Namespace {
				names = append(names, request.Name)
			}
		}
	}
	slices.Sort(names)
	return names
}

func TestGrantsEnqueueWhomTheyConcern(t *testing.T) {
	here, there := newEnvironment(t), newEnvironment(t)
	suspended := func(arn string) func(*v1alpha1.StsCredential) {
		return func(c *v1alpha1.StsCredential) { c.Spec.RoleARN, c.Spec.Suspend = arn, true }
	}
	for _, c := range []*v1alpha1.StsCredential{
		here.CreateCredential("a", suspended(role)), here.CreateCredential("b", suspended(role+"-b")), there.CreateCredential("c", suspended(role)),
	} {
		here.WaitForCache(c)
	}
	grant := func(generation int64, namespace string, roles ...v1alpha1.RoleARNPattern) *v1alpha1.StsRoleGrant {
		return &v1alpha1.StsRoleGrant{ObjectMeta: metav1.ObjectMeta{Generation: generation}, Spec: v1alpha1.StsRoleGrantSpec{
			Namespaces: v1alpha1.GrantNamespaces{Names: []v1alpha1.NamespaceName{v1alpha1.NamespaceName(namespace)}}, RoleARNs: roles,
		}}
	}
	h := watches{here.Client}.grantHandler()
	for _, tt := range []struct {
		name   string
		handle func(q queue)
		want   []string
	}{
		{"created", func(q queue) {
			h.Create(here.Context(), event.CreateEvent{Object: grant(1, here.Namespace, role)}, q)
		}, []string{"a"}},
		{"deleted", func(q queue) {
			h.Delete(here.Context(), event.DeleteEvent{Object: grant(1, here.Namespace, role+"*")}, q)
		}, []string{"a", "b"}},
		{"role withdrawn", func(q queue) {
			h.Update(here.Context(), event.UpdateEvent{ObjectOld: grant(1, here.Namespace, role, role+"-b"), ObjectNew: grant(2, here.Namespace, role+"-b")}, q)
		}, []string{"a", "b"}},
		{"namespace exchanged", func(q queue) {
			h.Update(here.Context(), event.UpdateEvent{ObjectOld: grant(1, here.Namespace, role), ObjectNew: grant(2, there.Namespace, role)}, q)
		}, []string{"a", "c"}},
		{"nothing but metadata", func(q queue) {
			h.Update(here.Context(), event.UpdateEvent{ObjectOld: grant(1, here.Namespace, role), ObjectNew: grant(1, here.Namespace, role)}, q)
		}, nil},
		{"nobody's", func(q queue) {
			h.Create(here.Context(), event.CreateEvent{Object: grant(1, "nobody", role)}, q)
		}, nil},
	} {
		if got := enqueued([]*environment{here, there}, tt.handle); !slices.Equal(got, tt.want) {
			t.Errorf("%s: woke %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestNamespacesWakeWhomTheyConcern(t *testing.T) {
	env := newEnvironment(t)
	env.Grant(func(g *v1alpha1.StsRoleGrantSpec) {
		g.Namespaces = v1alpha1.GrantNamespaces{Selector: &v1alpha1.GrantSelector{MatchLabels: map[string]v1alpha1.LabelValue{"team": v1alpha1.LabelValue(env.Namespace)}}}
	})
	for name, arn := range map[string]string{"a": role, "b": role + "-b"} {
		env.WaitForCache(env.CreateCredential(name, func(c *v1alpha1.StsCredential) { c.Spec.RoleARN, c.Spec.Suspend = arn, true }))
	}
	namespace := func(team string) *metav1.PartialObjectMetadata {
		m := namespaceMetadata()
		m.Name = env.Namespace
		m.Labels = map[string]string{"team": team}
		return m
	}
	ending := namespace("x")
	ending.DeletionTimestamp = &metav1.Time{Time: time.Now()}
	for _, tt := range []struct {
		name     string
		was, now client.Object
		want     []string
	}{
		{"gains the label", namespace("x"), namespace(env.Namespace), []string{"a"}},
		{"loses it", namespace(env.Namespace), namespace("x"), []string{"a"}},
		{"another label", namespace("x"), namespace("y"), nil},
		{"none", namespace("x"), namespace("x"), nil},
		{"ends", namespace("x"), ending, []string{"a", "b"}},
	} {
		got := enqueued([]*environment{env}, func(q queue) {
			watches{env.Client}.namespaceHandler().Update(env.Context(), event.UpdateEvent{ObjectOld: tt.was, ObjectNew: tt.now}, q)
		})
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: woke %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestSpecOrWish(t *testing.T) {
	object := func(generation int64, annotations map[string]string) *v1alpha1.StsCredential {
		return &v1alpha1.StsCredential{ObjectMeta: metav1.ObjectMeta{Generation: generation, Annotations: annotations}}
	}
	for _, tt := range []struct {
		name     string
		was, now *v1alpha1.StsCredential
		want     bool
	}{
		{"status only", object(1, nil), object(1, nil), false},
		{"spec", object(1, nil), object(2, nil), true},
		{"a renew request", object(1, nil), object(1, map[string]string{v1alpha1.AnnotationRenewRequestedAt: "x"}), true},
		{"another annotation", object(1, nil), object(1, map[string]string{"other": "x"}), false},
	} {
		if got := specOrRenewRequest().Update(event.UpdateEvent{ObjectOld: tt.was, ObjectNew: tt.now}); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}

func TestCredentialOfSecret(t *testing.T) {
	env := newEnvironment(t)
	c := env.CreateCredential("orders", func(c *v1alpha1.StsCredential) { c.Spec.Secret.Name = "orders-sts" })
	env.reconcile(c)
	found := watches{env.Client}
	if got := found.credentialsOfSecret(env.Context(), env.Secret("orders-sts")); len(got) != 1 || got[0].NamespacedName != client.ObjectKeyFromObject(c) {
		t.Errorf("credentialsOfSecret = %v", got)
	}
	if got := found.credentialsOfSecret(env.Context(), &corev1.Secret{}); got != nil {
		t.Errorf("credentialsOfSecret of nobody's = %v", got)
	}
}

// A watch brings back what was written: it is not reconciled again. What others make of it is.
func TestOwnWritesWakeNobody(t *testing.T) {
	env := newEnvironment(t)
	wakes := func(r *Reconciler, s *corev1.Secret) [2]bool {
		return [2]bool{r.states.skipOwnWrites().Create(event.CreateEvent{Object: s}), r.states.skipOwnWrites().Update(event.UpdateEvent{ObjectOld: s, ObjectNew: s})}
	}
	c := env.CreateCredential("orders")
	env.reconcile(c)
	s := env.Secret("orders")
	if wakes(env.Reconciler, s) != [2]bool{} {
		t.Error("the reconcile that wrote the Secret is followed by another")
	}
	if (wakes(&Reconciler{}, s) != [2]bool{true, true}) {
		t.Error("what another process wrote enqueues nothing")
	}
	s.Data["ALIBABA_CLOUD_SECURITY_TOKEN"] = []byte("edited")
	if err := env.Update(env.Context(), s); err != nil {
		t.Fatal(err)
	}
	if wakes(env.Reconciler, s) != [2]bool{true, true} {
		t.Error("an edited Secret enqueues nothing")
	}
	if !env.states.skipOwnWrites().Delete(event.DeleteEvent{Object: s}) {
		t.Error("a deleted Secret enqueues nothing")
	}
}
