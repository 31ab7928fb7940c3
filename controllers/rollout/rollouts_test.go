// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package rollout

import (
	"context"
	"errors"
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
	"github.com/stscredential/sts-credential-operator/internal/retry"
	"github.com/stscredential/sts-credential-operator/test/testenv"
)

func withAutoRestart(c *v1alpha1.StsCredential) {
	c.Spec.Rollout.Mode = v1alpha1.RolloutAuto
	c.Spec.Duration = &metav1.Duration{Duration: 4 * time.Hour}
}

func withTarget(kind, name string) func(*v1alpha1.StsCredential) {
	return func(c *v1alpha1.StsCredential) {
		c.Spec.Rollout.Targets = []v1alpha1.RolloutTarget{{Kind: kind, Name: name}}
		c.Spec.Duration = &metav1.Duration{Duration: 4 * time.Hour}
	}
}

// halfway is when a credential of four hours that restarts workloads is due.
const halfway = 2 * time.Hour

// newRestartingEnvironment returns an environment whose operator restarts workloads.
func newRestartingEnvironment(t *testing.T) *environment {
	env := newEnvironment(t)
	env.Rollouts = true
	return env
}

func TestRestartsWhatCannotRefresh(t *testing.T) {
	env := newRestartingEnvironment(t)
	c := env.CreateCredential("orders", withAutoRestart)
	env.reconcile(c)
	readsEnv, volume := env.createDeployment("env", byEnvFrom("orders")), env.createDeployment("volume", byVolume("orders"))
	old := env.createPodOf(readsEnv, "a")
	env.createPodOf(volume, "a")
	env.createStatefulSet("file", bySubPath("orders"))
	env.reconcile(c)
	env.wantRestartAnnotations("Deployment", "env", nil) // the first issuance restarts nothing
	env.RecordedEvents()

	// The process dies between Secret and restart annotation.
	env.Step(halfway)
	alive := env.Client
	env.Client = testenv.Intercept(cached, interceptor.Funcs{
		Patch: func(ctx context.Context, c client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
			if _, isWorkload := o.(*unstructured.Unstructured); isWorkload {
				return context.Canceled
			}
			return c.Patch(ctx, o, p, opts...)
		},
	})
	env.reconcile(c)
	env.WantCalls(2)
	env.wantRestartAnnotations("Deployment", "env", nil)
	env.WantCondition(c, v1alpha1.ConditionRolloutFailing, metav1.ConditionTrue, v1alpha1.ReasonRolloutRefused, "did not answer")
	env.restartOperator()
	env.Client, env.Rollouts = alive, true
	env.RecordedEvents()

	env.reconcile(c)
	want := map[string]string{"orders": c.Status.RequestID}
	env.wantRestartAnnotations("Deployment", "env", want)
	env.wantRestartAnnotations("StatefulSet", "file", want)
	env.wantRestartAnnotations("Deployment", "volume", nil)
	env.wantConsumers(c, 3, 2, c.Status.Consumers.StaleExpireAt.Time)
	env.WantCondition(c, v1alpha1.ConditionRolloutFailing, "", "", "")
	env.WantCondition(c, v1alpha1.ConditionPodsStale, "", "", "")
	if recorded := env.RecordedEvents(); len(recorded) != 2 || !strings.Contains(recorded[0], "Restarted Deployment env is restarted") || !strings.Contains(recorded[0], old.Name) {
		t.Errorf("events %v", recorded)
	}

	// Nothing is restarted twice: not by another reconcile, nor by another process.
	before := env.resourceVersion(readsEnv)
	env.reconcile(c)
	env.restartOperator()
	env.Rollouts = true
	env.reconcile(c)
	if env.resourceVersion(readsEnv) != before {
		t.Error("the Deployment was written to again for the same issuance")
	}

	// A pod that was created since is not stale, however slowly the others are replaced.
	env.Step(time.Minute)
	env.createPodOf(readsEnv, "b")
	env.deletePod(old)
	env.reconcile(c)
	env.wantConsumers(c, 3, 1, c.Status.Consumers.StaleExpireAt.Time)
	env.WantCalls(2)
}

func (env *environment) resourceVersion(d *appsv1.Deployment) string {
	env.Helper()
	env.Must(api.Get(env.Context(), client.ObjectKeyFromObject(d), d))
	return d.ResourceVersion
}

func TestTargetsAreRestarted(t *testing.T) {
	env := newRestartingEnvironment(t)
	c := env.CreateCredential("orders", withTarget("Deployment", "volume"))
	env.reconcile(c)
	env.WantCondition(c, v1alpha1.ConditionRolloutFailing, metav1.ConditionTrue, v1alpha1.ReasonTargetNotFound, "there is no Deployment volume")
	env.createPodOf(env.createDeployment("volume", byVolume("orders")), "a")
	env.createPodOf(env.createDeployment("env", byEnvFrom("orders")), "a")
	env.reconcile(c)
	env.WantCondition(c, v1alpha1.ConditionRolloutFailing, "", "", "")
	env.wantRestartAnnotations("Deployment", "volume", nil)
	env.Step(halfway)
	env.reconcile(c)
	env.wantRestartAnnotations("Deployment", "volume", map[string]string{"orders": c.Status.RequestID})
	env.wantRestartAnnotations("Deployment", "env", nil)
	env.WantCondition(c, v1alpha1.ConditionPodsStale, metav1.ConditionTrue, v1alpha1.ReasonPodsOutliveCredentials, "env-a-x")
}

func TestBlockedReasonsAreReported(t *testing.T) {
	for _, tt := range []struct {
		name, reason, message string
		given                 func(env *environment) func(*v1alpha1.StsCredential)
	}{
		{"a paused Deployment", v1alpha1.ReasonWorkloadPaused, "Deployment env is paused", func(env *environment) func(*v1alpha1.StsCredential) {
			d := env.createDeployment("env", byEnvFrom("orders"))
			env.createPodOf(d, "a")
			d.Spec.Paused = true
			env.Must(api.Update(env.Context(), d))
			return withAutoRestart
		}},
		{"a StatefulSet that waits for deletions", v1alpha1.ReasonStrategyUnsuited, "OnDelete", func(env *environment) func(*v1alpha1.StsCredential) {
			s, _ := env.createStatefulSet("env", byEnvFrom("orders"))
			s.Spec.UpdateStrategy.Type, s.Spec.UpdateStrategy.RollingUpdate = appsv1.OnDeleteStatefulSetStrategyType, nil
			env.Must(api.Update(env.Context(), s))
			return withAutoRestart
		}},
		{"a kind that is not installed", v1alpha1.ReasonTargetNotFound, "Kind CloneSet is not installed in this cluster.", func(*environment) func(*v1alpha1.StsCredential) {
			return withTarget("CloneSet", "env")
		}},
		{"no right to read", v1alpha1.ReasonRolloutForbidden, "may not read Deployment env", func(env *environment) func(*v1alpha1.StsCredential) {
			env.createPodOf(env.createDeployment("env", byEnvFrom("orders")), "a")
			env.APIReader = interceptor.NewClient(api, interceptor.Funcs{Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
				if _, isWorkload := o.(*unstructured.Unstructured); isWorkload {
					return apierrors.NewForbidden(appsv1.Resource("deployments"), key.Name, nil)
				}
				return c.Get(ctx, key, o, opts...)
			}})
			return withAutoRestart
		}},
		{"no right to restart anything", v1alpha1.ReasonRolloutsDisabled, "--rollouts", func(env *environment) func(*v1alpha1.StsCredential) {
			env.createPodOf(env.createDeployment("env", byEnvFrom("orders")), "a")
			env.Rollouts = false
			return withAutoRestart
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			env := newRestartingEnvironment(t)
			c := env.CreateCredential("orders", tt.given(env))
			env.reconcile(c)
			env.Step(halfway)
			next := env.reconcile(c).RequeueAfter
			env.WantCalls(2)
			env.WantCondition(c, v1alpha1.ConditionRolloutFailing, metav1.ConditionTrue, tt.reason, tt.message)
			env.WantCondition(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
			if tt.reason != v1alpha1.ReasonRolloutsDisabled && (next < time.Minute || next > retry.Blocked) {
				t.Errorf("requeue after %v", next)
			}
			failing := func(recorded []string) int {
				return len(slices.DeleteFunc(recorded, func(e string) bool { return !strings.Contains(e, tt.reason) }))
			}
			if reported := failing(env.RecordedEvents()); reported != 1 {
				t.Errorf("%d events", reported)
			}
			env.reconcile(c)
			if reported := failing(env.RecordedEvents()); reported != 0 {
				t.Error("another event though nothing changed")
			}
		})
	}
}

// A refused request is reported with one next step: the one of its cause, or the request for the permission.
func TestRefusedRequestsHaveOneNextStep(t *testing.T) {
	forbidden := func(cause string) error {
		return apierrors.NewForbidden(appsv1.Resource("deployments"), "env", errors.New(cause))
	}
	for _, tt := range []struct {
		given           error
		reason, message string
	}{
		{
			forbidden("User \"operator\" cannot patch resource"), v1alpha1.ReasonRolloutForbidden,
			"the operator may not patch Deployment env: Forbidden (403). Ask a cluster administrator for the permissions that --rollouts requires.",
		},
		{
			forbidden("ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no"), v1alpha1.ReasonRolloutRefused,
			"Deployment env cannot be restarted: Forbidden (403): ValidatingAdmissionPolicy 'p' with binding 'b' denied request. Allow the operator's request in the policy",
		},
		{
			forbidden("admission webhook \"w.example.com\" denied the request: no"), v1alpha1.ReasonRolloutRefused,
			"Deployment env cannot be restarted: Forbidden (403): admission webhook \"w.example.com\" denied the request. Allow the operator's request in the webhook",
		},
	} {
		got := workloads{results: NewResults()}.failed(consumers.Workload{Kind: "Deployment", Name: "env"}, "patch", tt.given)
		if got.reason != tt.reason || got.message != tt.message {
			t.Errorf("%v: %s %q, want %s %q", tt.given, got.reason, got.message, tt.reason, tt.message)
		}
	}
}

func TestUnfinishedRolloutIsReported(t *testing.T) {
	env := newRestartingEnvironment(t)
	c := env.CreateCredential("orders", withAutoRestart)
	env.reconcile(c)
	env.createPodOf(env.createDeployment("env", byEnvFrom("orders")), "a")
	env.Step(halfway)
	env.reconcile(c)
	env.WantCondition(c, v1alpha1.ConditionRolloutFailing, "", "", "")
	env.Step(4*time.Hour*9/10 - halfway - time.Minute)
	next := env.reconcile(c).RequeueAfter
	env.WantCondition(c, v1alpha1.ConditionRolloutFailing, "", "", "")
	env.Step(next)
	env.reconcile(c)
	env.WantCondition(c, v1alpha1.ConditionRolloutFailing, metav1.ConditionTrue, v1alpha1.ReasonRolloutUnfinished, "env-a-x")
	if recorded := env.RecordedEvents(); !slices.ContainsFunc(recorded, func(e string) bool { return strings.Contains(e, "Warning RolloutUnfinished") }) {
		t.Errorf("events %v", recorded)
	}
}

// A workload that reads two Secrets is restarted once for both, if the second is due soon.
func TestOneRestartForTwo(t *testing.T) {
	env := newRestartingEnvironment(t)
	first, second, far := env.CreateCredential("first", withAutoRestart), env.CreateCredential("second", withAutoRestart), env.CreateCredential("far", func(c *v1alpha1.StsCredential) {
		withAutoRestart(c)
		c.Spec.Duration = &metav1.Duration{Duration: 12 * time.Hour}
	})
	env.reconcile(first)
	env.Step(40 * time.Minute)
	env.reconcile(second)
	env.reconcile(far)
	spec := byBoth("first", "second")
	spec.Containers[0].EnvFrom = append(spec.Containers[0].EnvFrom, byEnvFrom("far").Containers[0].EnvFrom...)
	env.createPodOf(env.createDeployment("both", spec), "a")
	env.Step(halfway - 40*time.Minute)
	for _, c := range []*v1alpha1.StsCredential{second, far} {
		env.reconcile(c)
	}
	env.WantCalls(3)

	next := env.reconcile(first).RequeueAfter
	env.WantCalls(4)
	env.wantRestartAnnotations("Deployment", "both", nil)
	if next > time.Second || len(env.Early.Requests()) != 1 || (<-env.Early.Requests()).Name != "second" {
		t.Fatalf("requeue after %v, and did not enqueue the second alone", next)
	}
	env.reconcile(second)
	env.WantCalls(5)
	want := map[string]string{"far": far.Status.RequestID, "first": first.Status.RequestID, "second": second.Status.RequestID}
	env.wantRestartAnnotations("Deployment", "both", want)
	env.Step(next)
	env.reconcile(first)
	env.reconcile(second)
	env.WantCalls(5)
	env.wantRestartAnnotations("Deployment", "both", want)
}

// The renewal of the other Secret may not come: then the workload is restarted without it.
func TestRestartDoesNotWaitForEver(t *testing.T) {
	env := newRestartingEnvironment(t)
	first, second := env.CreateCredential("first", withAutoRestart), env.CreateCredential("second", withAutoRestart)
	env.reconcile(first)
	env.Step(20 * time.Minute)
	env.reconcile(second)
	env.createPodOf(env.createDeployment("both", byBoth("first", "second")), "a")
	env.Step(halfway - 20*time.Minute)
	env.reconcile(first)
	env.wantRestartAnnotations("Deployment", "both", nil)
	env.Step(companionWait)
	env.reconcile(first)
	env.wantRestartAnnotations("Deployment", "both", map[string]string{"first": first.Status.RequestID, "second": second.Status.RequestID})
}

func TestFrequentRestartsAreReported(t *testing.T) {
	env := newRestartingEnvironment(t)
	count := func() int {
		return len(slices.DeleteFunc(env.RecordedEvents(), func(e string) bool { return !strings.Contains(e, "FrequentRestarts") }))
	}
	c := env.CreateCredential("orders", func(c *v1alpha1.StsCredential) { c.Spec.Rollout.Mode = v1alpha1.RolloutAuto })
	env.reconcile(c)
	if reported := count(); reported != 1 {
		t.Errorf("warned %d times of an hour", reported)
	}
	env.restartOperator()
	env.Rollouts = true
	env.Step(time.Hour)
	env.reconcile(c)
	if reported := count(); reported != 0 {
		t.Error("warned again though the spec is the same")
	}
	env.Edit(c, func(c *v1alpha1.StsCredential) { c.Spec.Duration = &metav1.Duration{Duration: 12 * time.Hour} })
	env.reconcile(c)
	if reported := count(); reported != 0 {
		t.Error("reported twelve hours")
	}
}

// A suspended StsCredential is not renewed, and no workload is restarted.
func TestSuspendedRestartsNothing(t *testing.T) {
	env := newRestartingEnvironment(t)
	c := env.CreateCredential("orders", withAutoRestart)
	env.reconcile(c)
	d := env.createDeployment("env", byEnvFrom("orders"))
	d.Spec.Replicas = ptr.To[int32](1)
	env.createPodOf(d, "a")
	env.Step(halfway)
	env.Edit(c, func(c *v1alpha1.StsCredential) { c.Spec.Suspend = true })
	env.reconcile(c)
	env.wantRestartAnnotations("Deployment", "env", nil)
	env.WantCalls(1)
	var pods corev1.PodList
	env.Must(api.List(env.Context(), &pods, client.InNamespace(env.Namespace)))
	env.wantConsumers(c, int32(len(pods.Items)), 0, time.Time{})
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

// An Argo Rollout is restarted by its spec.restartAt, not by its template, paused or not, and with a workloadRef.
func TestRestartsArgoRollouts(t *testing.T) {
	env := newRestartingEnvironment(t)
	file := filepath.Join(env.TempDir(), "rollouts.yaml")
	env.Must(os.WriteFile(file, []byte(argoRollouts), 0o600))
	_, err := envtest.InstallCRDs(cluster.Config, envtest.CRDInstallOptions{Paths: []string{file}})
	env.Must(err)
	c := env.CreateCredential("orders", withAutoRestart)
	env.reconcile(c)
	object := consumers.Workload{Kind: "Rollout", Name: "env"}.Object(env.Namespace)
	object.Object["spec"] = map[string]any{"paused": true, "workloadRef": map[string]any{"apiVersion": "apps/v1", "kind": "Deployment", "name": "env"}}
	env.Must(api.Create(env.Context(), object))
	labels := map[string]string{"rollouts-pod-template-hash": "a"}
	set := &appsv1.ReplicaSet{
		ObjectMeta: metav1.ObjectMeta{Namespace: env.Namespace, Name: "env-a", OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(object, object.GroupVersionKind())}},
		Spec: appsv1.ReplicaSetSpec{
			Replicas: ptr.To[int32](0), Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: byEnvFrom("orders")},
		},
	}
	env.Must(api.Create(env.Context(), set))
	env.createPod("env-a-x", labels, set.Spec.Template, metav1.NewControllerRef(set, appsv1.SchemeGroupVersion.WithKind("ReplicaSet")))
	env.Step(halfway)
	env.reconcile(c)
	env.wantRestartAnnotations("Rollout", "env", map[string]string{"orders": c.Status.RequestID})
	env.WantCondition(c, v1alpha1.ConditionRolloutFailing, "", "", "")
	env.Must(api.Get(env.Context(), client.ObjectKeyFromObject(object), object))
	restartAt, _, _ := unstructured.NestedString(object.Object, "spec", "restartAt")
	annotations, _, _ := unstructured.NestedStringMap(object.Object, "spec", "template", "metadata", "annotations")
	if want := env.issuance(c).WrittenAt.Add(10 * time.Second).UTC().Format(time.RFC3339); restartAt != want || len(annotations) > 0 {
		t.Errorf("restartAt %s, want %s; the template has annotations %v", restartAt, want, annotations)
	}
	before := object.GetResourceVersion()
	env.restartOperator()
	env.Rollouts = true
	env.Step(10 * time.Minute)
	env.reconcile(c)
	env.Must(api.Get(env.Context(), client.ObjectKeyFromObject(object), object))
	if object.GetResourceVersion() != before {
		t.Error("the Rollout was restarted again for the same issuance")
	}
}
