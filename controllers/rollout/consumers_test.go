// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package rollout

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/consumers"
	"github.com/stscredential/sts-credential-operator/internal/secret"
)

// wantConsumers requires the number of pods that read the Secret, how many of them are stale, and when the first of their
// credentials expire.
func (env *environment) wantConsumers(c *v1alpha1.StsCredential, pods, stale int32, until time.Time) {
	env.Helper()
	got := c.Status.Consumers
	if got == nil || got.Pods != pods || got.Stale != stale || (got.StaleExpireAt == nil) != until.IsZero() ||
		got.StaleExpireAt != nil && !got.StaleExpireAt.Time.Equal(until) {
		env.Errorf("consumers = %+v, want %d, of them %d stale until %s", got, pods, stale, until)
	}
}

// issuance is what a credential's Secret holds, as pods see it.
func (env *environment) issuance(c *v1alpha1.StsCredential) consumers.Issuance {
	env.Helper()
	env.WaitForCache(c)
	held := &corev1.Secret{}
	env.Must(cached.Get(env.Context(), client.ObjectKey{Namespace: c.Namespace, Name: c.SecretName()}, held))
	record, _ := secret.Read(held)
	if record == nil {
		env.Fatal("there is no record")
	}
	return consumers.Issuance{WrittenAt: record.StoredAt, Created: len(record.Replaced) == 0}
}

func TestConsumersAreReported(t *testing.T) {
	env := newEnvironment(t)
	c := env.CreateCredential("orders")
	env.reconcile(c)
	env.wantConsumers(c, 0, 0, time.Time{})
	templates := map[string]corev1.PodSpec{"env": byEnvFrom("orders"), "volume": byVolume("orders"), "file": bySubPath("orders"), "other": byEnvFrom("another")}
	for name, spec := range templates {
		env.createPod(name, nil, corev1.PodTemplateSpec{Spec: spec}, nil)
	}
	env.reconcile(c)
	env.wantConsumers(c, 3, 0, time.Time{})
	env.WantCondition(c, v1alpha1.ConditionPodsStale, "", "", "")
	firstEnds := c.Status.ExpiresAt.Time
	env.RecordedEvents()

	env.Step(41 * time.Minute)
	env.reconcile(c)
	env.WantCalls(2)
	env.wantConsumers(c, 3, 2, firstEnds)
	env.WantCondition(c, v1alpha1.ConditionPodsStale, metav1.ConditionTrue, v1alpha1.ReasonPodsOutliveCredentials, "env, file (until "+firstEnds.UTC().Format(time.RFC3339)+")")
	env.WantCondition(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
	if recorded := env.RecordedEvents(); len(recorded) != 1 || !strings.Contains(recorded[0], "PodsOutliveCredentials") {
		t.Errorf("events %v", recorded)
	}

	// The Secret is deleted: the pods that use superseded credentials stay stale.
	env.Must(api.Delete(env.Context(), env.Secret("orders")))
	env.reconcile(c)
	env.WantCalls(3)
	env.wantConsumers(c, 3, 2, c.Status.Consumers.StaleExpireAt.Time)
	if until := c.Status.Consumers.StaleExpireAt.Time; until.Before(firstEnds) {
		t.Errorf("stale pods expire at %v, before what they can hold", until)
	}

	// Pods that were replaced are not stale.
	env.Step(time.Minute)
	for _, name := range []string{"env", "file"} {
		env.deletePod(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: env.Namespace, Name: name}})
		env.createPod(name+"-again", nil, corev1.PodTemplateSpec{Spec: templates[name]}, nil)
	}
	env.reconcile(c)
	env.wantConsumers(c, 3, 0, time.Time{})
	env.WantCondition(c, v1alpha1.ConditionPodsStale, "", "", "")

	env.issuer.TracksConsumers = false
	env.reconcileWith(env.issuer, c)
	if c.Status.Consumers != nil {
		t.Errorf("consumers = %+v though they are not tracked", c.Status.Consumers)
	}
}

// requestsAfter collects what a handler queues for later.
type requestsAfter struct {
	workqueue.TypedRateLimitingInterface[reconcile.Request]
	got map[string]bool
}

func (q *requestsAfter) AddAfter(request reconcile.Request, _ time.Duration) {
	q.got[request.Name] = true
}

// A pod queues the StsCredentials that it reads and those whose target its workload is, when what the operator reads of it changes.
func TestPodsQueueTheirCredentials(t *testing.T) {
	env := newEnvironment(t)
	env.Rollouts = true
	for _, name := range []string{"orders", "payments", "stock"} {
		c := env.CreateCredential(name, func(c *v1alpha1.StsCredential) {
			if name == "stock" {
				c.Spec.Rollout.Targets = []v1alpha1.RolloutTarget{{Kind: "Deployment", Name: "shop"}}
			}
		})
		env.reconcile(c)
		env.reconcile(c)
	}
	pod := env.createPodOf(env.createDeployment("shop", byEnvFrom("orders")), "a")
	env.Must(api.Get(env.Context(), requestFor(&v1alpha1.StsCredential{ObjectMeta: pod.ObjectMeta}).NamespacedName, pod))
	strip := func(p *corev1.Pod) *corev1.Pod {
		out, err := consumers.Strip(p.DeepCopy())
		env.Must(err)
		return out.(*corev1.Pod)
	}
	restarted := pod.DeepCopy()
	restarted.Status.ContainerStatuses[0].State.Running.StartedAt = metav1.NewTime(env.OperatorClock.Now().Add(time.Hour))
	relabelled := pod.DeepCopy()
	relabelled.ResourceVersion, relabelled.Labels["x"] = "9", "y"
	for _, tt := range []struct {
		name    string
		enqueue func(q queue)
		want    int
	}{
		{"a new pod", func(q queue) {
			watches{env.Client}.podHandler().Create(env.Context(), event.CreateEvent{Object: strip(pod)}, q)
		}, 2},
		{"a restarted container", func(q queue) {
			watches{env.Client}.podHandler().Update(env.Context(), event.UpdateEvent{ObjectOld: strip(pod), ObjectNew: strip(restarted)}, q)
		}, 2},
		{"a label", func(q queue) {
			watches{env.Client}.podHandler().Update(env.Context(), event.UpdateEvent{ObjectOld: strip(pod), ObjectNew: strip(relabelled)}, q)
		}, 0},
		{"a deleted pod", func(q queue) {
			watches{env.Client}.podHandler().Delete(env.Context(), event.DeleteEvent{Object: strip(pod)}, q)
		}, 2},
	} {
		q := &requestsAfter{got: map[string]bool{}}
		tt.enqueue(q)
		if len(q.got) != tt.want || tt.want > 0 && (!q.got["orders"] || !q.got["stock"]) {
			t.Errorf("%s enqueues %v", tt.name, q.got)
		}
	}
}
