// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package rollout

import (
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/secret"
)

// byOptional reads the Secret into the environment, and starts without it.
func byOptional(secret string) corev1.PodSpec {
	spec := byEnvFrom(secret)
	spec.Containers[0].EnvFrom[0].SecretRef.Optional = ptr.To(true)
	return spec
}

func TestPodsFromBeforeTheFirstIssueAreRestarted(t *testing.T) {
	w := restarting(t)
	w.podOf(w.deployment("optional", byOptional("orders")), "a")
	w.step(time.Hour)
	c := w.credential("orders", automatic)
	w.pass(c)
	w.wantStamps("Deployment", "optional", map[string]string{"orders": c.Status.RequestID})
	w.wantConsumers(c, 1, 1, time.Time{})
	w.wantCondition(c, v1alpha1.ConditionRolloutFailing, "", "", "")
	w.step(unservedFor)
	w.pass(c)
	w.wantCondition(c, v1alpha1.ConditionRolloutFailing, metav1.ConditionTrue, v1alpha1.ReasonRolloutUnfinished, "optional-a-x")
}

// unservedFor is how long pods may hold nothing that works before that is reported.
const unservedFor = 30 * time.Minute

// Without restarts, such pods are reported at once.
func TestPodsFromBeforeTheFirstIssueAreReported(t *testing.T) {
	w := newWorld(t)
	w.running("optional", nil, corev1.PodTemplateSpec{Spec: byOptional("orders")}, nil)
	w.step(time.Hour)
	c := w.credential("orders")
	w.pass(c)
	w.wantConsumers(c, 1, 1, time.Time{})
	w.wantCondition(c, v1alpha1.ConditionPodsStale, metav1.ConditionTrue, v1alpha1.ReasonPodsOutliveCredentials, "optional (optional started before")
}

// A pod that cannot start without the Secret has waited for it.
func TestPodsThatWaitedForTheFirstIssueAreFresh(t *testing.T) {
	w := restarting(t)
	w.step(time.Hour)
	c := w.credential("orders", automatic)
	w.pass(c)
	w.podOf(w.deployment("env", byEnvFrom("orders")), "a")
	w.podOf(w.deployment("file", bySubPath("orders")), "a")
	w.pass(c)
	w.wantConsumers(c, 2, 0, time.Time{})
	w.wantStamps("Deployment", "env", nil)
	w.wantStamps("Deployment", "file", nil)
}

func TestPodsFromBeforeAdoptionAreRestarted(t *testing.T) {
	w := restarting(t)
	w.must(api.Create(w.ctx, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "orders", Annotations: map[string]string{v1alpha1.AnnotationAdopt: "orders"}},
		Data:       map[string][]byte{"ALIBABA_CLOUD_ACCESS_KEY_ID": []byte("of its owner")},
	}))
	w.podOf(w.deployment("env", byEnvFrom("orders")), "a")
	w.step(time.Hour)
	c := w.credential("orders", automatic)
	w.pass(c)
	w.pass(c)
	w.wantStamps("Deployment", "env", map[string]string{"orders": c.Status.RequestID})
	w.wantConsumers(c, 1, 1, time.Time{})
}

// Whatever is lost, pods that hold what a deleted Secret held are restarted.
func TestALostStatusHidesNoStalePods(t *testing.T) {
	w := restarting(t)
	c := w.credential("orders", automatic)
	w.pass(c)
	w.podOf(w.deployment("env", byEnvFrom("orders")), "a")
	w.pass(c)
	w.wantConsumers(c, 1, 0, time.Time{})
	w.step(time.Hour)
	w.must(api.Delete(w.ctx, w.secret("orders")))
	c.Status = v1alpha1.StsCredentialStatus{}
	w.must(api.Status().Update(w.ctx, c))
	w.restart()
	w.Rollouts = true
	w.pass(c)
	w.wantCalls(2)
	w.wantStamps("Deployment", "env", map[string]string{"orders": c.Status.RequestID})
}

func TestAPartitionIsReportedAtTheFirstRenewal(t *testing.T) {
	w := restarting(t)
	c := w.credential("orders", automatic)
	w.pass(c)
	s, _ := w.statefulSet("db", byEnvFrom("orders"))
	owner := metav1.NewControllerRef(s, appsv1.SchemeGroupVersion.WithKind("StatefulSet"))
	for _, name := range []string{"db-1", "db-2"} {
		w.running(name, map[string]string{"app": "db"}, s.Spec.Template, owner)
	}
	s.Spec.UpdateStrategy.RollingUpdate = &appsv1.RollingUpdateStatefulSetStrategy{Partition: ptr.To[int32](2)}
	w.must(api.Update(w.ctx, s))
	w.step(halfway)
	w.pass(c)
	w.wantStamps("StatefulSet", "db", map[string]string{"orders": c.Status.RequestID})
	w.wantCondition(c, v1alpha1.ConditionRolloutFailing, metav1.ConditionTrue, v1alpha1.ReasonStrategyUnsuited, "db-0, db-1: partition is 2")

	// What it keeps is no reason to restart the rest.
	w.gone(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "db-2"}})
	w.step(time.Hour)
	w.must(api.Get(w.ctx, client.ObjectKeyFromObject(s), s))
	w.running("db-2", map[string]string{"app": "db"}, s.Spec.Template, owner)
	before := s.ResourceVersion
	w.pass(c)
	w.must(api.Get(w.ctx, client.ObjectKeyFromObject(s), s))
	if s.ResourceVersion != before {
		t.Error("the StatefulSet was written to again")
	}
}

// A clock that is ten minutes wrong, the operator's or a node's, neither restarts what is fresh nor hides what is stale.
func TestWrongClocks(t *testing.T) {
	const wrong = 10 * time.Minute
	for _, tt := range []struct {
		name                string
		apiAhead, nodeAhead time.Duration
	}{
		{"all clocks are right", 0, 0},
		{"the operator is behind", wrong, wrong},
		{"the operator is ahead", -wrong, -wrong},
		{"the node is ahead", 0, wrong},
		{"the node is behind", 0, -wrong},
		{"operator and node are ahead", -wrong, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := restarting(t)
			w.step(time.Hour) // ahead of the API server's own clock, which notes when pods are created
			w.apiAhead, w.nodeAhead = tt.apiAhead, tt.nodeAhead
			apiSkews.Store(w.namespace, tt.apiAhead)
			c := w.credential("orders", automatic)
			w.pass(c)
			expires := c.Status.ExpiresAt.Time
			w.step(time.Hour)
			w.podOf(w.deployment("old", byEnvFrom("orders")), "a")
			w.pass(c)
			w.wantCalls(1)
			w.wantConsumers(c, 1, 0, time.Time{})
			w.step(time.Minute)
			w.edit(c, func(c *v1alpha1.StsCredential) {
				c.Annotations = map[string]string{v1alpha1.AnnotationRenewRequestedAt: "now"}
			})
			w.pass(c)
			w.wantCalls(2)
			w.step(time.Minute)
			w.podOf(w.deployment("new", byEnvFrom("orders")), "a")
			w.pass(c)
			w.wantStamps("Deployment", "old", map[string]string{"orders": c.Status.RequestID})
			w.wantStamps("Deployment", "new", nil)
			w.wantConsumers(c, 2, 1, expires)
		})
	}
}

// The time of a write is the one that the API server notes for it, on this server as it is. Labels do not change it.
func TestWritesAreTimedByTheAPIServer(t *testing.T) {
	for name, ahead := range map[string]time.Duration{"the operator is behind": -10 * time.Minute, "the operator is ahead": 10 * time.Minute} {
		t.Run(name, func(t *testing.T) {
			w := restarting(t)
			apiSkews.Store(w.namespace, realTime)
			began := w.clock.Now()
			w.step(ahead)
			c := w.credential("orders", automatic)
			w.pass(c)
			w.edit(c, func(c *v1alpha1.StsCredential) { c.Spec.Secret.Labels = map[string]v1alpha1.LabelValue{"team": "shop"} })
			w.pass(c)
			if got := w.secret("orders").Labels["team"]; got != "shop" {
				t.Fatalf("label %q", got)
			}
			if took := w.issued(c).WrittenAt.Sub(began); took < 0 || took > 5*time.Minute {
				t.Errorf("written %v after the test began", took)
			}
			managers := map[string]bool{}
			for _, e := range w.secret("orders").ManagedFields {
				managers[e.Manager] = true
			}
			if !managers[secret.CredentialsManager] || !managers[secret.MetadataManager] {
				t.Errorf("written by %v", managers)
			}
		})
	}
}

// A Job's pod ends long before its credentials: it is no alarm until a quarter of their life is left.
func TestJobsAreNoAlarmWhileTheirCredentialsLive(t *testing.T) {
	w := newWorld(t)
	c := w.credential("orders", func(c *v1alpha1.StsCredential) { c.Spec.Duration = &metav1.Duration{Duration: 4 * time.Hour} })
	w.pass(c)
	expires := c.Status.ExpiresAt.Time
	spec := byEnvFrom("orders")
	spec.RestartPolicy = corev1.RestartPolicyNever
	w.running("job", nil, corev1.PodTemplateSpec{Spec: spec}, nil)
	w.step(c.Status.RenewAt.Sub(w.clock.Now()) + time.Second)
	w.told()
	next := w.pass(c).RequeueAfter
	w.wantCalls(2)
	w.wantConsumers(c, 1, 0, time.Time{})
	w.wantCondition(c, v1alpha1.ConditionPodsStale, "", "", "")
	if told := w.told(); len(told) != 0 {
		t.Errorf("events %v", told)
	}
	if at := w.clock.Now().Add(next); at.After(expires.Add(-time.Hour).Add(time.Minute)) || at.Before(expires.Add(-time.Hour).Add(-time.Minute)) {
		t.Errorf("looks again at %v, a quarter before %v", at, expires)
	}
	w.step(next)
	w.pass(c)
	w.wantConsumers(c, 1, 1, expires)
	w.wantCondition(c, v1alpha1.ConditionPodsStale, metav1.ConditionTrue, v1alpha1.ReasonPodsOutliveCredentials, "job")
}

// The API server takes any text as the name of a volume's Secret; it does not count as another.
func TestForgedNamesOfSecretsCountForNothing(t *testing.T) {
	w := newWorld(t)
	c := w.credential("orders")
	w.pass(c)
	w.running("forged", nil, corev1.PodTemplateSpec{Spec: byVolume("none 2 1 1,orders 2 1 1")}, nil)
	w.running("forged-as-before", nil, corev1.PodTemplateSpec{Spec: byVolume("orders 2 1,none")}, nil)
	w.step(time.Hour)
	w.pass(c)
	w.wantConsumers(c, 0, 0, time.Time{})
}

// Whatever somebody writes into the restart annotations, a restart is not held off.
func TestForgedRestartAnnotationsHoldOffNothing(t *testing.T) {
	w := restarting(t)
	c := w.credential("orders", automatic)
	w.pass(c)
	d := w.deployment("env", byEnvFrom("orders"))
	d.Spec.Template.Annotations = map[string]string{
		"sts.alibabacloud.com/restarted-at":  w.clock.Now().Add(1000 * time.Hour).Format(time.RFC3339),
		"sts.alibabacloud.com/restarted-for": strings.Repeat("orders=x,", 10_000),
	}
	w.must(api.Update(w.ctx, d))
	w.podOf(d, "a")
	w.step(halfway)
	w.pass(c)
	w.wantStamps("Deployment", "env", map[string]string{"orders": c.Status.RequestID})
}
