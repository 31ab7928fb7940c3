// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package rollout

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	crconfig "sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/event"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/controllers/stscredential"
	"github.com/stscredential/sts-credential-operator/test/testenv"
)

// countStatusUpdates returns a client that counts updates of the status, and how many of them were conflicts.
func countStatusUpdates(c client.Client) (counting client.Client, updates, conflicts *atomic.Int64) {
	updates, conflicts = &atomic.Int64{}, &atomic.Int64{}
	return testenv.Intercept(c, interceptor.Funcs{
		SubResourceUpdate: func(ctx context.Context, c client.Client, resource string, o client.Object, opts ...client.SubResourceUpdateOption) error {
			updates.Add(1)
			err := c.SubResource(resource).Update(ctx, o, opts...)
			if apierrors.IsConflict(err) {
				conflicts.Add(1)
			}
			return err
		},
	}), updates, conflicts
}

// splitStatus splits a status: what the rollout controller owns, and the rest.
func splitStatus(status v1alpha1.StsCredentialStatus) (rollouts, rest v1alpha1.StsCredentialStatus) {
	rest = *status.DeepCopy()
	rollouts.Consumers, rest.Consumers = rest.Consumers, nil
	for _, kind := range []string{v1alpha1.ConditionPodsStale, v1alpha1.ConditionRolloutFailing} {
		if condition := meta.FindStatusCondition(rest.Conditions, kind); condition != nil {
			rollouts.Conditions = append(rollouts.Conditions, *condition)
			meta.RemoveStatusCondition(&rest.Conditions, kind)
		}
	}
	return rollouts, rest
}

// reconcileUntil reconciles, with whatever the cache shows, until something is done.
func (env *environment) reconcileUntil(what string, reconcile func(context.Context, ctrl.Request) (ctrl.Result, error), c *v1alpha1.StsCredential, done func(*v1alpha1.StsCredential) bool) {
	for began := time.Now(); time.Since(began) < time.Minute; {
		if _, err := reconcile(env.Context(), requestFor(c)); err != nil {
			env.Errorf("%s: %v", what, err)
			return
		}
		live := &v1alpha1.StsCredential{}
		if err := api.Get(env.Context(), client.ObjectKeyFromObject(c), live); err != nil {
			env.Errorf("%s: %v", what, err)
			return
		}
		if done(live) {
			return
		}
	}
	env.Errorf("%s: not done in a minute", what)
}

// While credentials are renewed and pods come and go all the time, each version of the status differs from the one before in
// the part of one controller alone, and in the end both parts are right.
func TestNeitherControllerLosesTheOthersPart(t *testing.T) {
	const rounds = 60
	env := newEnvironment(t)
	c := env.CreateCredential("orders")
	env.reconcile(c)
	env.createPod("env", nil, corev1.PodTemplateSpec{Spec: byEnvFrom("orders")}, nil)
	env.Step(time.Minute)
	watching, err := api.Watch(env.Context(), &v1alpha1.StsCredentialList{}, client.InNamespace(env.Namespace))
	env.Must(err)
	defer watching.Stop()
	counting, updates, conflicts := countStatusUpdates(cached)
	env.issuer.Client, env.Client = counting, counting

	var work sync.WaitGroup
	work.Go(func() {
		for i := range rounds {
			if err := api.Patch(env.Context(), c.DeepCopy(), merge(fmt.Sprintf(`{"metadata":{"annotations":{%q:"%d"}}}`, v1alpha1.AnnotationRenewRequestedAt, i))); err != nil {
				t.Error(err)
				return
			}
			env.Step(10 * time.Second)
			calls := env.Calls()
			env.reconcileUntil("a renewal is made and reported", env.issuer.Reconcile, c, func(live *v1alpha1.StsCredential) bool {
				reported := env.Emulator.Calls()
				return env.Calls() > calls && live.Status.RequestID == reported[len(reported)-1].RequestID
			})
		}
	})
	pods := int32(1)
	work.Go(func() {
		for i := range rounds {
			pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: env.Namespace, Name: fmt.Sprint("pod-", i)}, Spec: byVolume("orders")}
			if err := api.Create(env.Context(), pod); err != nil {
				t.Error(err)
				return
			}
			pods++
			if i%3 == 2 {
				if err := api.Delete(env.Context(), pod, client.GracePeriodSeconds(0)); err != nil {
					t.Error(err)
					return
				}
				pods--
			}
			env.reconcileUntil("pods are counted", env.Reconcile, c, func(live *v1alpha1.StsCredential) bool {
				return live.Status.Consumers != nil && live.Status.Consumers.Pods == pods
			})
		}
	})
	work.Wait()
	env.reconcile(c)
	env.wantConsumers(c, pods, 1, c.Status.Consumers.StaleExpireAt.Time)
	env.WantCondition(c, v1alpha1.ConditionPodsStale, metav1.ConditionTrue, v1alpha1.ReasonPodsOutliveCredentials, "env")
	env.WantCondition(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
	if conflicts.Load() < 5 {
		t.Errorf("only %d conflicts: the load is too low", conflicts.Load())
	}
	t.Logf("%d updates, %d conflicts", updates.Load(), conflicts.Load())

	var before *v1alpha1.StsCredential
	for {
		e := <-watching.ResultChan()
		now, ok := e.Object.(*v1alpha1.StsCredential)
		if !ok {
			t.Fatalf("watch: %v", e)
		}
		if before != nil {
			rolloutsBefore, restBefore := splitStatus(before.Status)
			rollouts, rest := splitStatus(now.Status)
			if !equality.Semantic.DeepEqual(rolloutsBefore, rollouts) && !equality.Semantic.DeepEqual(restBefore, rest) {
				t.Errorf("one write changed both parts:\n%+v\n%+v", before.Status, now.Status)
			}
		}
		if before = now; now.ResourceVersion == c.ResourceVersion {
			return
		}
	}
}

// A credential that no pod reads costs one status update at its first issuance, as without tracking; a pod that reads it
// costs one more.
func TestStatusUpdatesOfAFirstIssuance(t *testing.T) {
	for _, tt := range []struct {
		name  string
		pods  int32
		stale int32
		want  int64
	}{
		{"nothing reads the Secret", 0, 0, 1},
		{"a pod started without the Secret", 1, 1, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			env := newEnvironment(t)
			if tt.pods > 0 {
				env.createPod("optional", nil, corev1.PodTemplateSpec{Spec: byOptional("orders")}, nil)
				env.Step(time.Hour)
			}
			counting, updates, _ := countStatusUpdates(cached)
			env.issuer.Client, env.Client = counting, counting
			c := env.CreateCredential("orders")
			env.reconcileWith(env.Reconciler, c) // before the credential controller has reconciled it
			if c.Status.Consumers != nil || updates.Load() != 0 {
				t.Errorf("status %+v before anything is issued", c.Status)
			}
			for range 3 {
				env.reconcile(c)
			}
			env.wantConsumers(c, tt.pods, tt.stale, time.Time{})
			if got := updates.Load(); got != tt.want {
				t.Errorf("%d status updates, want %d", got, tt.want)
			}
		})
	}
}

// A new process finds everything as the previous one left it, and writes nothing.
func TestARestartedProcessWritesNothing(t *testing.T) {
	env := newRestartingEnvironment(t)
	c := env.CreateCredential("orders", withAutoRestart)
	env.reconcile(c)
	d := env.createDeployment("env", byEnvFrom("orders"))
	env.createPodOf(d, "a")
	env.createPod("bare", nil, corev1.PodTemplateSpec{Spec: byEnvFrom("orders")}, nil)
	env.Step(halfway)
	env.reconcile(c)
	env.reconcile(c)
	env.WantCondition(c, v1alpha1.ConditionPodsStale, metav1.ConditionTrue, v1alpha1.ReasonPodsOutliveCredentials, "bare")
	before, version := c.ResourceVersion, env.resourceVersion(d)
	env.RecordedEvents()
	env.restartOperator()
	env.Rollouts = true
	env.reconcileWith(env.Reconciler, c) // whichever controller is first
	env.reconcile(c)
	if c.ResourceVersion != before || env.resourceVersion(d) != version || len(env.RecordedEvents()) > 0 {
		t.Errorf("a new process wrote: %+v", c.Status)
	}
}

// The rollout controller waits until the credential controller has reported what the Secret holds: neither a renewal that is
// not reported yet nor one that another cache does not show yet changes anything.
func TestNothingIsReportedOfUnreportedCredentials(t *testing.T) {
	env := newRestartingEnvironment(t)
	c := env.CreateCredential("orders", withAutoRestart)
	env.reconcile(c)
	d := env.createDeployment("env", byEnvFrom("orders"))
	env.createPodOf(d, "a")
	env.reconcile(c)
	env.Step(halfway)
	stale := c.DeepCopy()
	env.reconcileWith(env.issuer, c)
	renewed := c.Status
	c.Status = stale.Status // as if the status were not written yet
	env.Must(api.Status().Update(env.Context(), c))
	env.reconcileWith(env.Reconciler, c)
	env.wantConsumers(c, 1, 0, time.Time{})
	env.wantRestartAnnotations("Deployment", "env", nil)
	c.Status = renewed
	env.Must(api.Status().Update(env.Context(), c))
	env.reconcileWith(env.Reconciler, c)
	env.wantConsumers(c, 1, 1, c.Status.Consumers.StaleExpireAt.Time)
	env.wantRestartAnnotations("Deployment", "env", map[string]string{"orders": c.Status.RequestID})
}

// What this controller writes does not trigger it; what the other one reports does.
func TestReportsTrigger(t *testing.T) {
	reported := func(change func(*v1alpha1.StsCredential)) event.UpdateEvent {
		was := &v1alpha1.StsCredential{ObjectMeta: metav1.ObjectMeta{Name: "orders", UID: "1", Generation: 1}}
		is := was.DeepCopy()
		change(is)
		return event.UpdateEvent{ObjectOld: was, ObjectNew: is}
	}
	for _, tt := range []struct {
		name   string
		change func(*v1alpha1.StsCredential)
		want   bool
	}{
		{"nothing", func(*v1alpha1.StsCredential) {}, false},
		{"consumers", func(c *v1alpha1.StsCredential) { c.Status.Consumers = &v1alpha1.Consumers{Pods: 1} }, false},
		{"PodsStale", func(c *v1alpha1.StsCredential) {
			c.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionPodsStale, Status: metav1.ConditionTrue}}
		}, false},
		{"an annotation", func(c *v1alpha1.StsCredential) { c.Annotations = map[string]string{"a": "b"} }, false},
		{"the spec", func(c *v1alpha1.StsCredential) { c.Generation++ }, true},
		{"an observed spec", func(c *v1alpha1.StsCredential) { c.Status.ObservedGeneration++ }, true},
		{"an issuance", func(c *v1alpha1.StsCredential) { c.Status.RequestID = "R-2" }, true},
		{"an issuance without request ID", func(c *v1alpha1.StsCredential) { c.Status.IssuedAt = &metav1.Time{Time: time.Unix(1e9, 0)} }, true},
		{"Ready", func(c *v1alpha1.StsCredential) {
			c.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue}}
		}, true},
		{"a deletion", func(c *v1alpha1.StsCredential) { c.DeletionTimestamp = ptr.To(metav1.Now()) }, true},
	} {
		if got := reportChanged().Update(reported(tt.change)); got != tt.want {
			t.Errorf("%s: triggers = %v, want %v", tt.name, got, tt.want)
		}
	}
}

// In a manager, events alone trigger the updates of both parts of the status, and restarts.
func TestEventsTriggerBothControllers(t *testing.T) {
	env := newRestartingEnvironment(t)
	options, err := stscredential.CacheOptions([]string{env.Namespace}, labels.Everything())
	env.Must(err)
	mgr, err := ctrl.NewManager(cluster.Config, ctrl.Options{
		Scheme: cluster.Scheme, Cache: options, Metrics: metricsserver.Options{BindAddress: "0"}, HealthProbeBindAddress: "0",
		Controller: crconfig.Controller{SkipNameValidation: ptr.To(true)},
	})
	env.Must(err)
	env.issuer.Client, env.issuer.APIReader, env.Client, env.APIReader = mgr.GetClient(), mgr.GetAPIReader(), mgr.GetClient(), mgr.GetAPIReader()
	env.Must(env.issuer.SetupWithManager(env.Context(), mgr, 4))
	env.Must(env.SetupWithManager(env.Context(), mgr, 4))
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- mgr.Start(ctx) }()
	defer func() {
		cancel()
		env.Must(<-ended)
	}()
	c := env.CreateCredential("orders", withAutoRestart)
	become := func(what string, done func() bool) {
		t.Helper()
		env.Eventually(what, func(ctx context.Context) bool { return api.Get(ctx, client.ObjectKeyFromObject(c), c) == nil && done() })
	}
	become("it is issued", func() bool { return meta.IsStatusConditionTrue(c.Status.Conditions, v1alpha1.ConditionReady) })
	d := env.createDeployment("env", byEnvFrom("orders"))
	env.createPodOf(d, "a")
	become("the pod is counted", func() bool { return c.Status.Consumers != nil && c.Status.Consumers.Pods == 1 })
	env.Step(time.Hour)
	first := c.Status.RequestID
	env.Must(api.Patch(env.Context(), c, merge(fmt.Sprintf(`{"metadata":{"annotations":{%q:"now"}}}`, v1alpha1.AnnotationRenewRequestedAt))))
	become("it is renewed", func() bool { return c.Status.RequestID != first })
	env.Eventually("the Deployment is restarted", func(context.Context) bool {
		return env.restartAnnotations("Deployment", "env")["orders"] == c.Status.RequestID
	})
}
