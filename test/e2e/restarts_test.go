// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
)

const (
	// restartsNamespace is the namespace that the second release works in, the role and the StsCredential there.
	restartsNamespace = "with-restarts"
	restartsSystem    = "restarts-system"
	// lifetimes is through how many lives of a credential workloads are watched.
	lifetimes = 3
)

// reader is a workload that reads the Secret in one way.
type reader struct {
	client.Object
	kind     string
	restarts bool // for it cannot refresh
}

func readers() []reader {
	named := func(name string) metav1.ObjectMeta {
		return metav1.ObjectMeta{Namespace: restartsNamespace, Name: name}
	}
	return []reader{
		{&appsv1.Deployment{ObjectMeta: named("by-env")}, "deployment", true},
		{&appsv1.Deployment{ObjectMeta: named("by-volume")}, "deployment", false},
		{&appsv1.Deployment{ObjectMeta: named("by-subpath")}, "deployment", true},
		{&appsv1.StatefulSet{ObjectMeta: named("by-envfrom")}, "statefulset", true},
	}
}

// secondRelease works beside the first one, in a namespace of its own, and restarts workloads there.
func (env *environment) secondRelease() {
	env.eventually("the CRDs are there", func() error {
		return env.api.List(env.ctx, &v1alpha1.StsCredentialList{})
	})
	env.kubectl("create", "namespace", restartsSystem)
	env.kubectl("create", "namespace", restartsNamespace)
	env.kubectl("label", "namespace", restartsNamespace, "pod-security.kubernetes.io/enforce=restricted")
	env.kubectl("--namespace="+restartsSystem, "create", "secret", "generic", "ram-user",
		"--from-literal=ALIBABA_CLOUD_ACCESS_KEY_ID="+env.key.ID, "--from-literal=ALIBABA_CLOUD_ACCESS_KEY_SECRET="+env.key.Secret)
	env.helm(append([]string{"--namespace=" + restartsSystem, "install", "restarts", chart, "--set=fullnameOverride=restarts", "--set=crds.enabled=false",
		"--set=namespaces={" + restartsNamespace + "}", "--set=selector=example.com/release=restarts", "--set=rollouts.enabled=true", "--set=replicaCount=1",
		"--set=identity.existingSecret=ram-user", "--set=stsEndpoint=" + env.url,
		"--set=metrics.readers[0].namespace=" + restartsNamespace, "--set=metrics.readers[0].name=default", "--wait"}, imageValues(image)...)...)
}

// fourReaders start, and learn from STS who they are. That restarts will be frequent is said at once.
func (env *environment) fourReaders() {
	env.apply("with-restarts.yaml")
	for _, r := range readers() {
		env.kubectl("--namespace="+restartsNamespace, "rollout", "status", r.kind+"/"+r.GetName(), "--timeout=2m")
		env.eventually(r.GetName()+" calls STS", func() error {
			if len(env.callers(r.GetName())) == 0 {
				return errors.New("it does not")
			}
			return nil
		})
	}
	env.eventually("all are counted", func() error {
		if c := env.restartsCredential().Status.Consumers; c == nil || c.Pods != 4 || c.Stale != 0 {
			return fmt.Errorf("consumers %+v", c)
		}
		return nil
	})
	env.eventually("an event warns", func() error {
		return contains(env.kubectl("--namespace="+restartsNamespace, "get", "events"), v1alpha1.ReasonFrequentRestarts)
	})
}

var staleMetric = regexp.MustCompile(`(?m)^stscredential_stale_pods{name="with-restarts",namespace="with-restarts"} [1-9]`)

// requireHealthy requires Ready, and no condition that reports a problem.
func (env *environment) requireHealthy(c *v1alpha1.StsCredential) {
	env.Helper()
	if !meta.IsStatusConditionTrue(c.Status.Conditions, v1alpha1.ConditionReady) {
		env.Fatalf("not ready: %+v", c.Status.Conditions)
	}
	for _, kind := range []string{v1alpha1.ConditionRenewalFailing, v1alpha1.ConditionRolloutFailing, v1alpha1.ConditionPodsStale} {
		if problem := meta.FindStatusCondition(c.Status.Conditions, kind); problem != nil {
			env.Fatalf("%+v", problem)
		}
	}
}

// threeLifetimes watches what happens after each renewal.
func (env *environment) threeLifetimes() {
	staleInStatus, staleInMetric := false, false
	for start := time.Now(); time.Since(start) < lifetimes*briefly; env.sleep(time.Second) {
		env.inStep()
		c := env.restartsCredential()
		env.requireHealthy(c)
		if c.Status.Consumers.Stale > 0 {
			staleInStatus = true
			staleInMetric = staleInMetric || staleMetric.MatchString(env.restartsMetrics())
		}
	}
	if !staleInStatus || !staleInMetric {
		env.Errorf("stale pods in the status: %v, in the metric: %v", staleInStatus, staleInMetric)
	}
}

// inStep insists that each workload which cannot refresh has been restarted for every renewal but perhaps the last, once,
// and that the others have not been.
func (env *environment) inStep() {
	env.Helper()
	least := env.renewals()
	for _, r := range readers() {
		got := env.restartsOf(r)
		if most := env.renewals(); r.restarts && (got < least-1 || got > most) || !r.restarts && got != 0 {
			env.Fatalf("%s was restarted %d times, with %d to %d renewals", r.GetName(), got, least, most)
		}
	}
}

// nobodyFailed checks what remains of it all: as many restarts as renewals, and not one call that failed.
func (env *environment) nobodyFailed() {
	env.eventually("there is a restart for the last renewal", func() error {
		renewals := env.renewals()
		for _, r := range readers() {
			if got := env.restartsOf(r); r.restarts && got != renewals {
				return fmt.Errorf("%s: %d restarts, %d renewals", r.GetName(), got, renewals)
			}
			// Each restart brought one pod, which has called.
			if want := 1 + env.restartsOf(r); r.kind == "deployment" && len(env.callers(r.GetName())) != want {
				return fmt.Errorf("%s: calls came from %v, want %d pods", r.GetName(), env.callers(r.GetName()), want)
			}
		}
		if c := env.restartsCredential().Status.Consumers; c.Pods != 4 || c.Stale != 0 {
			return fmt.Errorf("consumers %+v", c)
		}
		return contains(env.restartsMetrics(), fmt.Sprintf("\nstscredential_rollouts_total{result=\"Restarted\"} %d\n", 3*renewals),
			`stscredential_stale_pods{name="with-restarts",namespace="with-restarts"} 0`)
	})
	if got := env.renewals(); got < 5 {
		env.Errorf("only %d renewals", got)
	}
	env.must(contains(env.kubectl("--namespace="+restartsNamespace, "get", "events"), "Deployment by-env is restarted", "Deployment by-subpath is restarted", "StatefulSet by-envfrom is restarted"))
	env.revisions()
	env.noFailures()
}

// revisions checks the restarts by what Kubernetes counts of them.
func (env *environment) revisions() {
	for _, r := range readers() {
		want := int64(1 + env.restartsOf(r))
		got := env.revisionOf(r)
		if got != want {
			env.Errorf("%s is at revision %d, want %d", r.GetName(), got, want)
		}
		env.Logf("%s: %d restarts, %d renewals", r.GetName(), want-1, env.renewals())
	}
}

// revisionOf is the number of different pod templates that a workload has had.
func (env *environment) revisionOf(r reader) (revision int64) {
	env.Helper()
	if r.kind == "deployment" {
		_, err := fmt.Sscan(r.GetAnnotations()["deployment.kubernetes.io/revision"], &revision)
		env.must(err)
		return revision
	}
	var revisions appsv1.ControllerRevisionList
	env.must(env.api.List(env.ctx, &revisions, client.InNamespace(restartsNamespace), client.MatchingLabels{"app": r.GetName()}))
	for _, one := range revisions.Items {
		revision = max(revision, one.Revision)
	}
	return revision
}

// noFailures checks that the readers called all the time, and that no call failed, of pods that are gone neither.
func (env *environment) noFailures() {
	pods := corev1.PodList{}
	env.must(env.api.List(env.ctx, &pods, client.InNamespace(restartsNamespace)))
	for i := range pods.Items {
		pod := &pods.Items[i]
		for _, status := range pod.Status.ContainerStatuses {
			if status.RestartCount > 0 {
				env.Errorf("%s ended by itself", pod.Name)
			}
		}
		if log := env.kubectl("--namespace="+restartsNamespace, "logs", pod.Name); strings.Contains(log, "failure") {
			env.Errorf("%s failed:\n%s", pod.Name, log)
		}
	}
	calls := map[string]int{}
	for _, call := range env.callsOf("whoami/") {
		name, failures, _ := strings.Cut(call.UserAgent[strings.Index(call.UserAgent, "whoami/")+len("whoami/"):], " ")
		if !strings.HasPrefix(name, "by-") {
			continue
		}
		calls[strings.Join(strings.Split(name, "-")[:2], "-")]++
		if call.Code != "" || !strings.HasPrefix(failures, "failures/0") {
			env.Errorf("%s failed: %+v", name, call)
		}
	}
	for _, r := range readers() {
		if least := int((lifetimes * briefly).Seconds()) / 2; calls[r.GetName()] < least {
			env.Errorf("%s made %d calls, want at least %d", r.GetName(), calls[r.GetName()], least)
		}
		env.Logf("%s: %d calls", r.GetName(), calls[r.GetName()])
	}
}

// renewals returns the number of renewals; the first issuance does not count.
func (env *environment) renewals() int { return len(env.issued(restartsNamespace)) - 1 }

// restartsOf is how often the spec of a workload was changed since it was made. It reads the workload.
func (env *environment) restartsOf(r reader) int {
	env.Helper()
	env.must(env.api.Get(env.ctx, client.ObjectKeyFromObject(r.Object), r.Object))
	return int(r.GetGeneration()) - 1
}

// callers are the pods of a workload that have called STS.
func (env *environment) callers(workload string) map[string]bool {
	pods := map[string]bool{}
	for _, call := range env.callsOf("whoami/") {
		name, _, _ := strings.Cut(call.UserAgent[strings.Index(call.UserAgent, "whoami/")+len("whoami/"):], " ")
		if strings.HasPrefix(name, workload+"-") {
			pods[name] = true
		}
	}
	return pods
}

func (env *environment) restartsCredential() *v1alpha1.StsCredential {
	return env.credentialIn(restartsNamespace, restartsNamespace)
}

// restartsMetrics are the second release's.
func (env *environment) restartsMetrics() string {
	env.Helper()
	replicas := env.replicasIn(restartsSystem)
	if len(replicas) != 1 {
		env.Fatalf("%d replicas in %s", len(replicas), restartsSystem)
	}
	return env.metricsOf(replicas[0], restartsNamespace)
}
