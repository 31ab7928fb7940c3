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
	// depot is the namespace that the second release works in, the role and the StsCredential there.
	depot          = "depot"
	restartsSystem = "restarts-system"
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
	named := func(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Namespace: depot, Name: name} }
	return []reader{
		{&appsv1.Deployment{ObjectMeta: named("by-env")}, "deployment", true},
		{&appsv1.Deployment{ObjectMeta: named("by-volume")}, "deployment", false},
		{&appsv1.Deployment{ObjectMeta: named("by-subpath")}, "deployment", true},
		{&appsv1.StatefulSet{ObjectMeta: named("by-envfrom")}, "statefulset", true},
	}
}

// secondRelease works beside the first one, in a namespace of its own, and restarts workloads there.
func (w *world) secondRelease() {
	w.eventually("the CRDs are there", func() error {
		return w.api.List(w.ctx, &v1alpha1.StsCredentialList{})
	})
	w.kubectl("create", "namespace", restartsSystem)
	w.kubectl("create", "namespace", depot)
	w.kubectl("label", "namespace", depot, "pod-security.kubernetes.io/enforce=restricted")
	w.kubectl("--namespace="+restartsSystem, "create", "secret", "generic", "ram-user",
		"--from-literal=ALIBABA_CLOUD_ACCESS_KEY_ID="+w.key.ID, "--from-literal=ALIBABA_CLOUD_ACCESS_KEY_SECRET="+w.key.Secret)
	w.helm(append([]string{"--namespace=" + restartsSystem, "install", "restarts", chart, "--set=fullnameOverride=restarts", "--set=crds.install=false",
		"--set=namespaces={" + depot + "}", "--set=selector=example.com/release=restarts", "--set=rollouts.enabled=true", "--set=replicaCount=1",
		"--set=identity.existingSecret=ram-user", "--set=stsEndpoint=" + w.url,
		"--set=metrics.readers[0].namespace=" + depot, "--set=metrics.readers[0].name=default", "--wait"}, imageValues(image)...)...)
}

// fourReaders start, and learn from STS who they are. That restarts will be frequent is said at once.
func (w *world) fourReaders() {
	w.apply("depot.yaml")
	for _, r := range readers() {
		w.kubectl("--namespace="+depot, "rollout", "status", r.kind+"/"+r.GetName(), "--timeout=2m")
		w.eventually(r.GetName()+" calls STS", func() error {
			if len(w.callers(r.GetName())) == 0 {
				return errors.New("it does not")
			}
			return nil
		})
	}
	w.eventually("all are counted", func() error {
		if c := w.depot().Status.Consumers; c == nil || c.Pods != 4 || c.Stale != 0 {
			return fmt.Errorf("consumers %+v", c)
		}
		return nil
	})
	w.eventually("an event warns", func() error {
		return contains(w.kubectl("--namespace="+depot, "get", "events"), v1alpha1.ReasonFrequentRestarts)
	})
}

var staleMetric = regexp.MustCompile(`(?m)^stscredential_stale_pods{name="depot",namespace="depot"} [1-9]`)

// requireHealthy requires Ready, and no condition that reports a problem.
func (w *world) requireHealthy(c *v1alpha1.StsCredential) {
	w.Helper()
	if !meta.IsStatusConditionTrue(c.Status.Conditions, v1alpha1.ConditionReady) {
		w.Fatalf("not ready: %+v", c.Status.Conditions)
	}
	for _, kind := range []string{v1alpha1.ConditionRenewalFailing, v1alpha1.ConditionRolloutFailing, v1alpha1.ConditionPodsStale} {
		if problem := meta.FindStatusCondition(c.Status.Conditions, kind); problem != nil {
			w.Fatalf("%+v", problem)
		}
	}
}

// threeLifetimes watches what happens after each renewal.
func (w *world) threeLifetimes() {
	staleTold, staleMetered := false, false
	for start := time.Now(); time.Since(start) < lifetimes*briefly; w.sleep(time.Second) {
		w.inStep()
		c := w.depot()
		w.requireHealthy(c)
		if c.Status.Consumers.Stale > 0 {
			staleTold = true
			staleMetered = staleMetered || staleMetric.MatchString(w.restartsMetrics())
		}
	}
	if !staleTold || !staleMetered {
		w.Errorf("that pods were stale was told by the status: %v, by the metric: %v", staleTold, staleMetered)
	}
}

// inStep insists that each workload which cannot refresh has been restarted for every renewal but perhaps the last, once,
// and that the others have not been.
func (w *world) inStep() {
	w.Helper()
	least := w.renewals()
	for _, r := range readers() {
		got := w.restartsOf(r)
		if most := w.renewals(); r.restarts && (got < least-1 || got > most) || !r.restarts && got != 0 {
			w.Fatalf("%s was restarted %d times, with %d to %d renewals", r.GetName(), got, least, most)
		}
	}
}

// nobodyFailed checks what remains of it all: as many restarts as renewals, and not one call that failed.
func (w *world) nobodyFailed() {
	w.eventually("there is a restart for the last renewal", func() error {
		renewals := w.renewals()
		for _, r := range readers() {
			if got := w.restartsOf(r); r.restarts && got != renewals {
				return fmt.Errorf("%s: %d restarts, %d renewals", r.GetName(), got, renewals)
			}
			// Each restart brought one pod, which has called.
			if want := 1 + w.restartsOf(r); r.kind == "deployment" && len(w.callers(r.GetName())) != want {
				return fmt.Errorf("%s: calls came from %v, want %d pods", r.GetName(), w.callers(r.GetName()), want)
			}
		}
		if c := w.depot().Status.Consumers; c.Pods != 4 || c.Stale != 0 {
			return fmt.Errorf("consumers %+v", c)
		}
		return contains(w.restartsMetrics(), fmt.Sprintf("\nstscredential_rollouts_total{result=\"Restarted\"} %d\n", 3*renewals),
			`stscredential_stale_pods{name="depot",namespace="depot"} 0`)
	})
	if got := w.renewals(); got < 5 {
		w.Errorf("only %d renewals", got)
	}
	w.must(contains(w.kubectl("--namespace="+depot, "get", "events"), "Deployment by-env is restarted", "Deployment by-subpath is restarted", "StatefulSet by-envfrom is restarted"))
	w.revisions()
	w.noFailures()
}

// revisions checks the restarts by what Kubernetes counts of them.
func (w *world) revisions() {
	for _, r := range readers() {
		want := int64(1 + w.restartsOf(r))
		got := w.revisionOf(r)
		if got != want {
			w.Errorf("%s is at revision %d, want %d", r.GetName(), got, want)
		}
		w.Logf("%s: %d restarts, %d renewals", r.GetName(), want-1, w.renewals())
	}
}

// revisionOf is the number of different pod templates that a workload has had.
func (w *world) revisionOf(r reader) (revision int64) {
	w.Helper()
	if r.kind == "deployment" {
		_, err := fmt.Sscan(r.GetAnnotations()["deployment.kubernetes.io/revision"], &revision)
		w.must(err)
		return revision
	}
	var revisions appsv1.ControllerRevisionList
	w.must(w.api.List(w.ctx, &revisions, client.InNamespace(depot), client.MatchingLabels{"app": r.GetName()}))
	for _, one := range revisions.Items {
		revision = max(revision, one.Revision)
	}
	return revision
}

// noFailures checks that the readers called all the time, and that no call failed, of pods that are gone neither.
func (w *world) noFailures() {
	pods := corev1.PodList{}
	w.must(w.api.List(w.ctx, &pods, client.InNamespace(depot)))
	for i := range pods.Items {
		pod := &pods.Items[i]
		for _, status := range pod.Status.ContainerStatuses {
			if status.RestartCount > 0 {
				w.Errorf("%s ended by itself", pod.Name)
			}
		}
		if log := w.kubectl("--namespace="+depot, "logs", pod.Name); strings.Contains(log, "failure") {
			w.Errorf("%s failed:\n%s", pod.Name, log)
		}
	}
	calls := map[string]int{}
	for _, call := range w.calls() {
		name, told, _ := strings.Cut(call.UserAgent[strings.Index(call.UserAgent, "whoami/")+len("whoami/"):], " ")
		if !strings.HasPrefix(name, "by-") {
			continue
		}
		calls[strings.Join(strings.Split(name, "-")[:2], "-")]++
		if call.Code != "" || !strings.HasPrefix(told, "failures/0") {
			w.Errorf("%s failed: %+v", name, call)
		}
	}
	for _, r := range readers() {
		if least := int((lifetimes * briefly).Seconds()) / 2; calls[r.GetName()] < least {
			w.Errorf("%s made %d calls, want at least %d", r.GetName(), calls[r.GetName()], least)
		}
		w.Logf("%s: %d calls", r.GetName(), calls[r.GetName()])
	}
}

// renewals are those of depot: the first issue is none.
func (w *world) renewals() int { return len(w.issued(depot)) - 1 }

// restartsOf is how often the spec of a workload was changed since it was made. It reads the workload.
func (w *world) restartsOf(r reader) int {
	w.Helper()
	w.must(w.api.Get(w.ctx, client.ObjectKeyFromObject(r.Object), r.Object))
	return int(r.GetGeneration()) - 1
}

// callers are the pods of a workload that have called STS.
func (w *world) callers(workload string) map[string]bool {
	pods := map[string]bool{}
	for _, call := range w.calls() {
		name, _, _ := strings.Cut(call.UserAgent[strings.Index(call.UserAgent, "whoami/")+len("whoami/"):], " ")
		if strings.HasPrefix(name, workload+"-") {
			pods[name] = true
		}
	}
	return pods
}

func (w *world) depot() *v1alpha1.StsCredential { return w.credentialIn(depot, depot) }

// restartsMetrics are the second release's.
func (w *world) restartsMetrics() string {
	w.Helper()
	replicas := w.replicasIn(restartsSystem)
	if len(replicas) != 1 {
		w.Fatalf("%d replicas in %s", len(replicas), restartsSystem)
	}
	return w.metricsOf(replicas[0], depot)
}
