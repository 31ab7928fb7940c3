// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package rollout

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/consumers"
)

func automatic(c *v1alpha1.StsCredential) {
	c.Spec.Rollout.Mode = v1alpha1.RolloutAuto
	c.Spec.Duration = &metav1.Duration{Duration: 4 * time.Hour}
}

func targeting(kind, name string) func(*v1alpha1.StsCredential) {
	return func(c *v1alpha1.StsCredential) {
		c.Spec.Rollout.Targets = []v1alpha1.RolloutTarget{{Kind: kind, Name: name}}
		c.Spec.Duration = &metav1.Duration{Duration: 4 * time.Hour}
	}
}

// halfway is when a credential of four hours that restarts workloads is due.
const halfway = 2 * time.Hour

// restarting is a world whose operator restarts workloads.
func restarting(t *testing.T) *world {
	w := newWorld(t)
	w.Rollouts = true
	return w
}

func TestRestartsWhatCannotRefresh(t *testing.T) {
	w := restarting(t)
	c := w.credential("orders", automatic)
	w.pass(c)
	env, volume := w.deployment("env", byEnvFrom("orders")), w.deployment("volume", byVolume("orders"))
	old := w.podOf(env, "a")
	w.podOf(volume, "a")
	w.statefulSet("file", bySubPath("orders"))
	w.pass(c)
	w.wantStamps("Deployment", "env", nil) // the first issue restarts nothing
	w.told()

	// The process dies between Secret and stamp.
	w.step(halfway)
	alive := w.Client
	w.Client = interceptor.NewClient(cachedWithWatch{cached}, interceptor.Funcs{
		Patch: func(ctx context.Context, c client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
			if _, isWorkload := o.(*unstructured.Unstructured); isWorkload {
				return context.Canceled
			}
			return c.Patch(ctx, o, p, opts...)
		},
	})
	w.pass(c)
	w.wantCalls(2)
	w.wantStamps("Deployment", "env", nil)
	w.wantCondition(c, v1alpha1.ConditionRolloutFailing, metav1.ConditionTrue, v1alpha1.ReasonRolloutRefused, "did not answer")
	w.restart()
	w.Client, w.Rollouts = alive, true
	w.told()

	w.pass(c)
	want := map[string]string{"orders": c.Status.RequestID}
	w.wantStamps("Deployment", "env", want)
	w.wantStamps("StatefulSet", "file", want)
	w.wantStamps("Deployment", "volume", nil)
	w.wantConsumers(c, 3, 2, c.Status.Consumers.StaleExpireAt.Time)
	w.wantCondition(c, v1alpha1.ConditionRolloutFailing, "", "", "")
	w.wantCondition(c, v1alpha1.ConditionPodsStale, "", "", "")
	if told := w.told(); len(told) != 2 || !strings.Contains(told[0], "Restarted Deployment env is restarted") || !strings.Contains(told[0], old.Name) {
		t.Errorf("events %v", told)
	}

	// Nothing is restarted twice: not by another look, nor by another process.
	before := w.version(env)
	w.pass(c)
	w.restart()
	w.Rollouts = true
	w.pass(c)
	if w.version(env) != before {
		t.Error("the Deployment was written to again for the same issue")
	}

	// A pod that was made since is not stale, however slowly the rest goes.
	w.step(time.Minute)
	w.podOf(env, "b")
	w.gone(old)
	w.pass(c)
	w.wantConsumers(c, 3, 1, c.Status.Consumers.StaleExpireAt.Time)
	w.wantCalls(2)
}

func (w *world) version(d *appsv1.Deployment) string {
	w.Helper()
	w.must(api.Get(w.ctx, client.ObjectKeyFromObject(d), d))
	return d.ResourceVersion
}

func TestTargetsAreRestarted(t *testing.T) {
	w := restarting(t)
	c := w.credential("orders", targeting("Deployment", "volume"))
	w.pass(c)
	w.wantCondition(c, v1alpha1.ConditionRolloutFailing, metav1.ConditionTrue, v1alpha1.ReasonTargetNotFound, "there is no Deployment volume")
	w.podOf(w.deployment("volume", byVolume("orders")), "a")
	w.podOf(w.deployment("env", byEnvFrom("orders")), "a")
	w.pass(c)
	w.wantCondition(c, v1alpha1.ConditionRolloutFailing, "", "", "")
	w.wantStamps("Deployment", "volume", nil)
	w.step(halfway)
	w.pass(c)
	w.wantStamps("Deployment", "volume", map[string]string{"orders": c.Status.RequestID})
	w.wantStamps("Deployment", "env", nil)
	w.wantCondition(c, v1alpha1.ConditionPodsStale, metav1.ConditionTrue, v1alpha1.ReasonPodsOutliveCredentials, "env-a-x")
}

func TestBlockedReasonsAreReported(t *testing.T) {
	for _, tt := range []struct {
		name, reason, message string
		given                 func(w *world) func(*v1alpha1.StsCredential)
	}{
		{"a paused Deployment", v1alpha1.ReasonWorkloadPaused, "Deployment env is paused", func(w *world) func(*v1alpha1.StsCredential) {
			d := w.deployment("env", byEnvFrom("orders"))
			w.podOf(d, "a")
			d.Spec.Paused = true
			w.must(api.Update(w.ctx, d))
			return automatic
		}},
		{"a StatefulSet that waits for deletions", v1alpha1.ReasonStrategyUnsuited, "OnDelete", func(w *world) func(*v1alpha1.StsCredential) {
			s, _ := w.statefulSet("env", byEnvFrom("orders"))
			s.Spec.UpdateStrategy.Type, s.Spec.UpdateStrategy.RollingUpdate = appsv1.OnDeleteStatefulSetStrategyType, nil
			w.must(api.Update(w.ctx, s))
			return automatic
		}},
		{"a kind that is not installed", v1alpha1.ReasonTargetNotFound, "Kind CloneSet is not installed in this cluster.", func(*world) func(*v1alpha1.StsCredential) {
			return targeting("CloneSet", "env")
		}},
		{"no right to read", v1alpha1.ReasonRolloutForbidden, "may not read Deployment env", func(w *world) func(*v1alpha1.StsCredential) {
			w.podOf(w.deployment("env", byEnvFrom("orders")), "a")
			w.APIReader = interceptor.NewClient(api, interceptor.Funcs{Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
				if _, isWorkload := o.(*unstructured.Unstructured); isWorkload {
					return apierrors.NewForbidden(appsv1.Resource("deployments"), key.Name, nil)
				}
				return c.Get(ctx, key, o, opts...)
			}})
			return automatic
		}},
		{"no right to restart anything", v1alpha1.ReasonRolloutsDisabled, "--rollouts", func(w *world) func(*v1alpha1.StsCredential) {
			w.podOf(w.deployment("env", byEnvFrom("orders")), "a")
			w.Rollouts = false
			return automatic
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := restarting(t)
			c := w.credential("orders", tt.given(w))
			w.pass(c)
			w.step(halfway)
			next := w.pass(c).RequeueAfter
			w.wantCalls(2)
			w.wantCondition(c, v1alpha1.ConditionRolloutFailing, metav1.ConditionTrue, tt.reason, tt.message)
			w.wantCondition(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
			if tt.reason != v1alpha1.ReasonRolloutsDisabled && (next < time.Minute || next > blockedRetry) {
				t.Errorf("looks again after %v", next)
			}
			failing := func(told []string) int {
				return len(slices.DeleteFunc(told, func(e string) bool { return !strings.Contains(e, tt.reason) }))
			}
			if told := failing(w.told()); told != 1 {
				t.Errorf("told %d times", told)
			}
			w.pass(c)
			if told := failing(w.told()); told != 0 {
				t.Error("told again though nothing changed")
			}
		})
	}
}

func TestUnfinishedRolloutIsTold(t *testing.T) {
	w := restarting(t)
	c := w.credential("orders", automatic)
	w.pass(c)
	w.podOf(w.deployment("env", byEnvFrom("orders")), "a")
	w.step(halfway)
	w.pass(c)
	w.wantCondition(c, v1alpha1.ConditionRolloutFailing, "", "", "")
	w.step(4*time.Hour*9/10 - halfway - time.Minute)
	next := w.pass(c).RequeueAfter
	w.wantCondition(c, v1alpha1.ConditionRolloutFailing, "", "", "")
	w.step(next)
	w.pass(c)
	w.wantCondition(c, v1alpha1.ConditionRolloutFailing, metav1.ConditionTrue, v1alpha1.ReasonRolloutUnfinished, "env-a-x")
	if told := w.told(); !slices.ContainsFunc(told, func(e string) bool { return strings.Contains(e, "Warning RolloutUnfinished") }) {
		t.Errorf("events %v", told)
	}
}

// A workload that reads two Secrets is restarted once for both, if the second is due soon.
func TestOneRestartForTwo(t *testing.T) {
	w := restarting(t)
	first, second, far := w.credential("first", automatic), w.credential("second", automatic), w.credential("far", func(c *v1alpha1.StsCredential) {
		automatic(c)
		c.Spec.Duration = &metav1.Duration{Duration: 12 * time.Hour}
	})
	w.pass(first)
	w.step(40 * time.Minute)
	w.pass(second)
	w.pass(far)
	spec := byBoth("first", "second")
	spec.Containers[0].EnvFrom = append(spec.Containers[0].EnvFrom, byEnvFrom("far").Containers[0].EnvFrom...)
	w.podOf(w.deployment("both", spec), "a")
	w.step(halfway - 40*time.Minute)
	for _, c := range []*v1alpha1.StsCredential{second, far} {
		w.pass(c)
	}
	w.wantCalls(3)

	next := w.pass(first).RequeueAfter
	w.wantCalls(4)
	w.wantStamps("Deployment", "both", nil)
	if next > time.Second || len(w.Early.Requests()) != 1 || (<-w.Early.Requests()).Name != "second" {
		t.Fatalf("looks again after %v, and did not wake the second alone", next)
	}
	w.pass(second)
	w.wantCalls(5)
	want := map[string]string{"far": far.Status.RequestID, "first": first.Status.RequestID, "second": second.Status.RequestID}
	w.wantStamps("Deployment", "both", want)
	w.step(next)
	w.pass(first)
	w.pass(second)
	w.wantCalls(5)
	w.wantStamps("Deployment", "both", want)
}

// What is waited for may not come: then the workload is restarted all the same.
func TestRestartDoesNotWaitForEver(t *testing.T) {
	w := restarting(t)
	first, second := w.credential("first", automatic), w.credential("second", automatic)
	w.pass(first)
	w.step(20 * time.Minute)
	w.pass(second)
	w.podOf(w.deployment("both", byBoth("first", "second")), "a")
	w.step(halfway - 20*time.Minute)
	w.pass(first)
	w.wantStamps("Deployment", "both", nil)
	w.step(companionWait)
	w.pass(first)
	w.wantStamps("Deployment", "both", map[string]string{"first": first.Status.RequestID, "second": second.Status.RequestID})
}

func TestFrequentRestartsAreWarnedOf(t *testing.T) {
	w := restarting(t)
	count := func() int {
		return len(slices.DeleteFunc(w.told(), func(e string) bool { return !strings.Contains(e, "FrequentRestarts") }))
	}
	c := w.credential("orders", func(c *v1alpha1.StsCredential) { c.Spec.Rollout.Mode = v1alpha1.RolloutAuto })
	w.pass(c)
	if told := count(); told != 1 {
		t.Errorf("warned %d times of an hour", told)
	}
	w.restart()
	w.Rollouts = true
	w.step(time.Hour)
	w.pass(c)
	if told := count(); told != 0 {
		t.Error("warned again though the spec is the same")
	}
	w.edit(c, func(c *v1alpha1.StsCredential) { c.Spec.Duration = &metav1.Duration{Duration: 12 * time.Hour} })
	w.pass(c)
	if told := count(); told != 0 {
		t.Error("warned of twelve hours")
	}
}

// A suspended credential is left alone, and so are workloads.
func TestSuspendedRestartsNothing(t *testing.T) {
	w := restarting(t)
	c := w.credential("orders", automatic)
	w.pass(c)
	d := w.deployment("env", byEnvFrom("orders"))
	d.Spec.Replicas = ptr.To[int32](1)
	w.podOf(d, "a")
	w.step(halfway)
	w.edit(c, func(c *v1alpha1.StsCredential) { c.Spec.Suspend = true })
	w.pass(c)
	w.wantStamps("Deployment", "env", nil)
	w.wantCalls(1)
	var pods corev1.PodList
	w.must(api.List(w.ctx, &pods, client.InNamespace(w.namespace)))
	w.wantConsumers(c, int32(len(pods.Items)), 0, time.Time{})
}

// argoRollouts is the CRD of Argo's Rollouts, without their schema.
const argoRollouts = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: rollouts.argoproj.io}
spec:
  group: argoproj.io
  scope: Namespaced
  names: {plural: rollouts, kind: Rollout}
  versions:
  - name: v1alpha1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
`

// Rollouts of Argo are restarted by themselves, not by their template, paused or not and wherever that is.
func TestRestartsArgoRollouts(t *testing.T) {
	w := restarting(t)
	file := filepath.Join(w.TempDir(), "rollouts.yaml")
	w.must(os.WriteFile(file, []byte(argoRollouts), 0o600))
	_, err := envtest.InstallCRDs(config, envtest.CRDInstallOptions{Paths: []string{file}})
	w.must(err)
	c := w.credential("orders", automatic)
	w.pass(c)
	object := consumers.Workload{Kind: "Rollout", Name: "env"}.Object(w.namespace)
	object.Object["spec"] = map[string]any{"paused": true, "workloadRef": map[string]any{"apiVersion": "apps/v1", "kind": "Deployment", "name": "env"}}
	w.must(api.Create(w.ctx, object))
	labels := map[string]string{"rollouts-pod-template-hash": "a"}
	set := &appsv1.ReplicaSet{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "env-a", OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(object, object.GroupVersionKind())}},
		Spec: appsv1.ReplicaSetSpec{
			Replicas: ptr.To[int32](0), Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: byEnvFrom("orders")},
		},
	}
	w.must(api.Create(w.ctx, set))
	w.running("env-a-x", labels, set.Spec.Template, metav1.NewControllerRef(set, appsv1.SchemeGroupVersion.WithKind("ReplicaSet")))
	w.step(halfway)
	w.pass(c)
	w.wantStamps("Rollout", "env", map[string]string{"orders": c.Status.RequestID})
	w.wantCondition(c, v1alpha1.ConditionRolloutFailing, "", "", "")
	w.must(api.Get(w.ctx, client.ObjectKeyFromObject(object), object))
	restartAt, _, _ := unstructured.NestedString(object.Object, "spec", "restartAt")
	annotations, _, _ := unstructured.NestedStringMap(object.Object, "spec", "template", "metadata", "annotations")
	if want := w.issued(c).WrittenAt.Add(10 * time.Second).UTC().Format(time.RFC3339); restartAt != want || len(annotations) > 0 {
		t.Errorf("restartAt %s, want %s; the template has annotations %v", restartAt, want, annotations)
	}
	before := object.GetResourceVersion()
	w.restart()
	w.Rollouts = true
	w.step(10 * time.Minute)
	w.pass(c)
	w.must(api.Get(w.ctx, client.ObjectKeyFromObject(object), object))
	if object.GetResourceVersion() != before {
		t.Error("the Rollout was restarted again for the same issue")
	}
}
