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

func TestPodsFromBeforeTheFirstIssuanceAreRestarted(t *testing.T) {
	env := newRestartingEnvironment(t)
	env.createPodOf(env.createDeployment("optional", byOptional("orders")), "a")
	env.Step(time.Hour)
	c := env.CreateCredential("orders", withAutoRestart)
	env.reconcile(c)
	env.wantRestartAnnotations("Deployment", "optional", map[string]string{"orders": c.Status.RequestID})
	env.wantConsumers(c, 1, 1, time.Time{})
	env.WantCondition(c, v1alpha1.ConditionRolloutFailing, "", "", "")
	env.Step(unservedFor)
	env.reconcile(c)
	env.WantCondition(c, v1alpha1.ConditionRolloutFailing, metav1.ConditionTrue, v1alpha1.ReasonRolloutUnfinished, "optional-a-x")
}

// unservedFor is how long pods may have no valid credentials before that is reported.
const unservedFor = 30 * time.Minute

// Without restarts, such pods are reported at once.
func TestPodsFromBeforeTheFirstIssuanceAreReported(t *testing.T) {
	env := newEnvironment(t)
	env.createPod("optional", nil, corev1.PodTemplateSpec{Spec: byOptional("orders")}, nil)
	env.Step(time.Hour)
	c := env.CreateCredential("orders")
	env.reconcile(c)
	env.wantConsumers(c, 1, 1, time.Time{})
	env.WantCondition(c, v1alpha1.ConditionPodsStale, metav1.ConditionTrue, v1alpha1.ReasonPodsOutliveCredentials, "optional (optional started before")
}

// A pod that cannot start without the Secret has waited for it.
func TestPodsThatWaitedForTheFirstIssuanceAreFresh(t *testing.T) {
	env := newRestartingEnvironment(t)
	env.Step(time.Hour)
	c := env.CreateCredential("orders", withAutoRestart)
	env.reconcile(c)
	env.createPodOf(env.createDeployment("env", byEnvFrom("orders")), "a")
	env.createPodOf(env.createDeployment("file", bySubPath("orders")), "a")
	env.reconcile(c)
	env.wantConsumers(c, 2, 0, time.Time{})
	env.wantRestartAnnotations("Deployment", "env", nil)
	env.wantRestartAnnotations("Deployment", "file", nil)
}

func TestPodsFromBeforeAdoptionAreRestarted(t *testing.T) {
	env := newRestartingEnvironment(t)
	env.Must(api.Create(env.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: env.Namespace, Name: "orders", Annotations: map[string]string{v1alpha1.AnnotationAdopt: "orders"}},
		Data:       map[string][]byte{"ALIBABA_CLOUD_ACCESS_KEY_ID": []byte("of its owner")},
	}))
	env.createPodOf(env.createDeployment("env", byEnvFrom("orders")), "a")
	env.Step(time.Hour)
	c := env.CreateCredential("orders", withAutoRestart)
	env.reconcile(c)
	env.reconcile(c)
	env.wantRestartAnnotations("Deployment", "env", map[string]string{"orders": c.Status.RequestID})
	env.wantConsumers(c, 1, 1, time.Time{})
}

// Pods that use the credentials of a deleted Secret are restarted, even if the status is lost.
func TestALostStatusHidesNoStalePods(t *testing.T) {
	env := newRestartingEnvironment(t)
	c := env.CreateCredential("orders", withAutoRestart)
	env.reconcile(c)
	env.createPodOf(env.createDeployment("env", byEnvFrom("orders")), "a")
	env.reconcile(c)
	env.wantConsumers(c, 1, 0, time.Time{})
	env.Step(time.Hour)
	env.Must(api.Delete(env.Context(), env.Secret("orders")))
	c.Status = v1alpha1.StsCredentialStatus{}
	env.Must(api.Status().Update(env.Context(), c))
	env.restartOperator()
	env.Rollouts = true
	env.reconcile(c)
	env.WantCalls(2)
	env.wantRestartAnnotations("Deployment", "env", map[string]string{"orders": c.Status.RequestID})
}

func TestAPartitionIsReportedAtTheFirstRenewal(t *testing.T) {
	env := newRestartingEnvironment(t)
	c := env.CreateCredential("orders", withAutoRestart)
	env.reconcile(c)
	s, _ := env.createStatefulSet("db", byEnvFrom("orders"))
	owner := metav1.NewControllerRef(s, appsv1.SchemeGroupVersion.WithKind("StatefulSet"))
	for _, name := range []string{"db-1", "db-2"} {
		env.createPod(name, map[string]string{"app": "db"}, s.Spec.Template, owner)
	}
	s.Spec.UpdateStrategy.RollingUpdate = &appsv1.RollingUpdateStatefulSetStrategy{Partition: ptr.To[int32](2)}
	env.Must(api.Update(env.Context(), s))
	env.Step(halfway)
	env.reconcile(c)
	env.wantRestartAnnotations("StatefulSet", "db", map[string]string{"orders": c.Status.RequestID})
	env.WantCondition(c, v1alpha1.ConditionRolloutFailing, metav1.ConditionTrue, v1alpha1.ReasonStrategyUnsuited, "db-0, db-1: partition is 2")

	// The pods that the partition keeps do not cause another restart of the others.
	env.deletePod(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: env.Namespace, Name: "db-2"}})
	env.Step(time.Hour)
	env.Must(api.Get(env.Context(), client.ObjectKeyFromObject(s), s))
	env.createPod("db-2", map[string]string{"app": "db"}, s.Spec.Template, owner)
	before := s.ResourceVersion
	env.reconcile(c)
	env.Must(api.Get(env.Context(), client.ObjectKeyFromObject(s), s))
	if s.ResourceVersion != before {
		t.Error("the StatefulSet was written to again")
	}
}

// A clock that is ten minutes wrong, the operator's or a node's, neither restarts what is fresh nor hides what is stale.
func TestWrongClocks(t *testing.T) {
	const wrong = 10 * time.Minute
	for _, tt := range []struct {
		name              string
		apiSkew, nodeSkew time.Duration
	}{
		{"all clocks are right", 0, 0},
		{"the operator is behind", wrong, wrong},
		{"the operator is ahead", -wrong, -wrong},
		{"the node is ahead", 0, wrong},
		{"the node is behind", 0, -wrong},
		{"operator and node are ahead", -wrong, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			env := newRestartingEnvironment(t)
			env.Step(time.Hour) // ahead of the API server's own clock, which notes when pods are created
			env.apiSkew, env.nodeSkew = tt.apiSkew, tt.nodeSkew
			env.SetServerSkew(tt.apiSkew)
			c := env.CreateCredential("orders", withAutoRestart)
			env.reconcile(c)
			expires := c.Status.ExpiresAt.Time
			env.Step(time.Hour)
			env.createPodOf(env.createDeployment("old", byEnvFrom("orders")), "a")
			env.reconcile(c)
			env.WantCalls(1)
			env.wantConsumers(c, 1, 0, time.Time{})
			env.Step(time.Minute)
			env.Edit(c, func(c *v1alpha1.StsCredential) {
				c.Annotations = map[string]string{v1alpha1.AnnotationRenewRequestedAt: "now"}
			})
			env.reconcile(c)
			env.WantCalls(2)
			env.Step(time.Minute)
			env.createPodOf(env.createDeployment("new", byEnvFrom("orders")), "a")
			env.reconcile(c)
			env.wantRestartAnnotations("Deployment", "old", map[string]string{"orders": c.Status.RequestID})
			env.wantRestartAnnotations("Deployment", "new", nil)
			env.wantConsumers(c, 2, 1, expires)
		})
	}
}

// The time of a write is the one that the API server notes for it, on this server as it is. Labels do not change it.
func TestWritesAreTimedByTheAPIServer(t *testing.T) {
	for name, ahead := range map[string]time.Duration{"the operator is behind": -10 * time.Minute, "the operator is ahead": 10 * time.Minute} {
		t.Run(name, func(t *testing.T) {
			env := newRestartingEnvironment(t)
			env.UseServerTime()
			began := env.OperatorClock.Now()
			env.Step(ahead)
			c := env.CreateCredential("orders", withAutoRestart)
			env.reconcile(c)
			env.Edit(c, func(c *v1alpha1.StsCredential) { c.Spec.Secret.Labels = map[string]v1alpha1.LabelValue{"team": "shop"} })
			env.reconcile(c)
			if got := env.Secret("orders").Labels["team"]; got != "shop" {
				t.Fatalf("label %q", got)
			}
			if took := env.issuance(c).WrittenAt.Sub(began); took < 0 || took > 5*time.Minute {
				t.Errorf("written %v after the test began", took)
			}
			managers := map[string]bool{}
			for _, e := range env.Secret("orders").ManagedFields {
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
	env := newEnvironment(t)
	c := env.CreateCredential("orders", func(c *v1alpha1.StsCredential) { c.Spec.Duration = &metav1.Duration{Duration: 4 * time.Hour} })
	env.reconcile(c)
	expires := c.Status.ExpiresAt.Time
	spec := byEnvFrom("orders")
	spec.RestartPolicy = corev1.RestartPolicyNever
	env.createPod("job", nil, corev1.PodTemplateSpec{Spec: spec}, nil)
	env.Step(c.Status.RenewAt.Sub(env.OperatorClock.Now()) + time.Second)
	env.RecordedEvents()
	next := env.reconcile(c).RequeueAfter
	env.WantCalls(2)
	env.wantConsumers(c, 1, 0, time.Time{})
	env.WantCondition(c, v1alpha1.ConditionPodsStale, "", "", "")
	if recorded := env.RecordedEvents(); len(recorded) != 0 {
		t.Errorf("events %v", recorded)
	}
	if at := env.OperatorClock.Now().Add(next); at.After(expires.Add(-time.Hour).Add(time.Minute)) || at.Before(expires.Add(-time.Hour).Add(-time.Minute)) {
		t.Errorf("requeue at %v, a quarter before %v", at, expires)
	}
	env.Step(next)
	env.reconcile(c)
	env.wantConsumers(c, 1, 1, expires)
	env.WantCondition(c, v1alpha1.ConditionPodsStale, metav1.ConditionTrue, v1alpha1.ReasonPodsOutliveCredentials, "job")
}

// The API server takes any text as the name of a volume's Secret; it does not count as another.
func TestForgedNamesOfSecretsCountForNothing(t *testing.T) {
	env := newEnvironment(t)
	c := env.CreateCredential("orders")
	env.reconcile(c)
	env.createPod("forged", nil, corev1.PodTemplateSpec{Spec: byVolume("none 2 1 1,orders 2 1 1")}, nil)
	env.createPod("forged-as-before", nil, corev1.PodTemplateSpec{Spec: byVolume("orders 2 1,none")}, nil)
	env.Step(time.Hour)
	env.reconcile(c)
	env.wantConsumers(c, 0, 0, time.Time{})
}

// No content of the restart annotations prevents a restart.
func TestForgedRestartAnnotationsHoldOffNothing(t *testing.T) {
	env := newRestartingEnvironment(t)
	c := env.CreateCredential("orders", withAutoRestart)
	env.reconcile(c)
	d := env.createDeployment("env", byEnvFrom("orders"))
	d.Spec.Template.Annotations = map[string]string{
		"sts.alibabacloud.com/restarted-at":  env.OperatorClock.Now().Add(1000 * time.Hour).Format(time.RFC3339),
		"sts.alibabacloud.com/restarted-for": strings.Repeat("orders=x,", 10_000),
	}
	env.Must(api.Update(env.Context(), d))
	env.createPodOf(d, "a")
	env.Step(halfway)
	env.reconcile(c)
	env.wantRestartAnnotations("Deployment", "env", map[string]string{"orders": c.Status.RequestID})
}
