// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"errors"
	"fmt"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/test/stsemulator"
)

const (
	// dock is the namespace of the third release's workloads, the role and the StsCredential there.
	dock       = "dock"
	dockSystem = "dock-system"
	// away is how long the operator is away when a renewal is due: a little before, and the rest after it.
	away = 30 * time.Second
)

// labelledNames are the workloads that have the label and nothing else. Each calls STS with another client.
var labelledNames = []string{"go-v2", "go-v2-each", "go-v1", "node-v2"}

// unlabelled reads the same Secret by variables.
func unlabelled() reader {
	return reader{&appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: dock, Name: "unlabelled"}}, "deployment", true}
}

func (w *world) installCRDs() { w.kubectl("apply", "--server-side", "--kustomize", root+"/config/crd") }

// dockRelease adds the agent to the pods of its namespace, and restarts workloads there.
func (w *world) dockRelease() {
	w.eventually("the CRDs are there", func() error {
		return w.api.List(w.ctx, &v1alpha1.StsCredentialList{})
	})
	w.kubectl("create", "namespace", dockSystem)
	w.kubectl("create", "namespace", dock)
	w.kubectl("label", "namespace", dock, "pod-security.kubernetes.io/enforce=restricted")
	w.kubectl("--namespace="+dockSystem, "create", "secret", "generic", "ram-user",
		"--from-literal=ALIBABA_CLOUD_ACCESS_KEY_ID="+w.key.ID, "--from-literal=ALIBABA_CLOUD_ACCESS_KEY_SECRET="+w.key.Secret)
	notes := w.helm(append([]string{"--namespace=" + dockSystem, "install", "dock", chart, "--set=fullnameOverride=dock", "--set=crds.install=false",
		"--set=namespaces={" + dock + "}", "--set=selector=example.com/release=dock", "--set=rollouts.enabled=true", "--set=replicaCount=1",
		"--set=agent.injection.enabled=true", "--set=identity.existingSecret=ram-user", "--set=stsEndpoint=" + w.url, "--wait"}, imageValues(image)...)...)
	w.must(contains(notes, "by MutatingAdmissionPolicy v1\n"))
}

// waitForSecret starts the workloads before there is a Secret, and one more whose Secret lacks the key. The kubelet's events say
// what they wait for.
func (w *world) waitForSecret() {
	w.kubectl("--namespace="+dock, "create", "secret", "generic", "no-key", "--from-literal=a=b")
	w.apply("dock-without-key.yaml")
	w.apply("dock.yaml")
	w.eventually("events say what pods wait for", func() error {
		return contains(w.kubectl("--namespace="+dock, "get", "events", "--field-selector=reason=FailedMount"),
			`secret "dock" not found`, "references non-existent secret key: credentials.json")
	})
	w.kubectl("--namespace="+dock, "delete", "pod", "without-key", "--wait=false")
	w.apply("dock-credential.yaml")
}

// labelledWorkloads start once the Secret is there, and learn from STS who they are.
func (w *world) labelledWorkloads() {
	for _, name := range append([]string{"unlabelled"}, labelledNames...) {
		w.kubectl("--namespace="+dock, "rollout", "status", "deployment/"+name, "--timeout=3m")
	}
	for _, name := range labelledNames {
		w.eventually(name+" calls STS", func() error {
			if len(w.callsBy(w.podOf(name).Name)) == 0 {
				return errors.New("it does not")
			}
			return nil
		})
	}
	w.eventually("all are counted", func() error {
		if c := w.dock().Status.Consumers; c == nil || c.Pods != 5 || c.Stale != 0 {
			return fmt.Errorf("consumers %+v", c)
		}
		return nil
	})
}

// followLifetimes watches three lifetimes of the credentials. The operator is away when a renewal is due.
func (w *world) followLifetimes() {
	before := map[string]types.UID{}
	for _, name := range labelledNames {
		before[name] = w.podOf(name).UID
	}
	start := time.Now()
	watch := func(until time.Duration) {
		for ; time.Since(start) < until; w.sleep(time.Second) {
			w.onlyUnlabelledRestarts()
		}
	}
	watch(w.life)
	w.operatorAway()
	watch(lifetimes * w.life)
	for _, name := range labelledNames {
		if after := w.podOf(name); after.UID != before[name] {
			w.Errorf("%s has another pod now, %s", name, after.Name)
		}
	}
}

// operatorAway stops the operator shortly before a renewal is due, and starts it some time after.
func (w *world) operatorAway() {
	calls := len(w.issued(dock))
	w.eventually("a renewal is some seconds away", func() error {
		if left := time.Until(w.dock().Status.RenewAt.Time); left < 10*time.Second {
			return fmt.Errorf("it is %s away", left)
		}
		calls = len(w.issued(dock))
		return nil
	})
	due := w.dock().Status.RenewAt.Time
	w.sleep(time.Until(due) - 5*time.Second)
	w.kubectl("--namespace="+dockSystem, "scale", "deployment/dock", "--replicas=0")
	w.sleep(time.Until(due) + away - 5*time.Second)
	if got := len(w.issued(dock)); got != calls {
		w.Errorf("STS was called %d times in the operator's absence", got-calls)
	}
	w.kubectl("--namespace="+dockSystem, "scale", "deployment/dock", "--replicas=1")
	w.eventually("the operator renews", func() error {
		if len(w.issued(dock)) == calls {
			return errors.New("it does not")
		}
		return nil
	})
	w.Logf("renewed %s late", time.Since(due).Round(time.Second))
}

// onlyUnlabelledRestarts insists that the workload without the label is restarted for renewals alone, and the others are not.
func (w *world) onlyUnlabelledRestarts() {
	w.Helper()
	c := w.dock()
	w.requireHealthy(c)
	if c.Status.Consumers.Stale > 1 {
		w.Fatalf("consumers %+v, and only one workload can be stale", c.Status.Consumers)
	}
	for _, name := range labelledNames {
		if got := w.restartsOf(reader{Object: &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: dock, Name: name}}}); got != 0 {
			w.Fatalf("%s was restarted %d times", name, got)
		}
	}
	// Renewals come faster than restarts, so that one restart may serve two of them.
	got := w.restartsOf(unlabelled())
	if renewals := len(w.issued(dock)) - 1; got > renewals {
		w.Fatalf("the workload without the label was restarted %d times, with %d renewals", got, renewals)
	}
}

// labelledUndisturbed checks what remains of it all: the pods are the first ones, nothing in them was restarted, they used one key
// after the other, and not one call failed.
func (w *world) labelledUndisturbed() {
	for _, name := range labelledNames {
		pod := w.podOf(name)
		for _, status := range append(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses...) {
			if status.RestartCount > 0 {
				w.Errorf("%s (%s) was restarted %d times", name, status.Name, status.RestartCount)
			}
		}
		if log := w.kubectl("--namespace="+dock, "logs", pod.Name, "--container=app"); strings.Contains(log, "failure") {
			w.Errorf("%s failed:\n%s\nits agent:\n%s", name, log, w.kubectl("--namespace="+dock, "logs", pod.Name, "--container=stscred-agent"))
		}
		calls, keys := w.callsBy(pod.Name), map[string]bool{}
		for _, call := range calls {
			keys[call.AccessKeyID] = true
			if call.Code != "" {
				w.Errorf("%s failed: %+v", name, call)
			}
		}
		if least := int((lifetimes * w.life).Seconds()) / 2; len(calls) < least {
			w.Errorf("%s made %d calls, want at least %d", name, len(calls), least)
		}
		if len(keys) < 3 {
			w.Errorf("%s used %d keys", name, len(keys))
		}
		w.Logf("%s: %d calls with %d keys, of %d issued", name, len(calls), len(keys), len(w.issued(dock)))
	}
	for _, call := range w.sts.Calls() {
		if strings.Contains(call.UserAgent, "whoami/unlabelled-") && call.Code != "" {
			w.Errorf("the workload without the label failed: %+v", call)
		}
	}
	restarts := w.restartsOf(unlabelled())
	if restarts < lifetimes {
		w.Errorf("the workload without the label was restarted %d times", restarts)
	}
	w.Logf("unlabelled: %d restarts", restarts)
}

// callsBy are those of a pod of test/formats/refresh.
func (w *world) callsBy(pod string) (calls []stsemulator.Call) {
	for _, call := range w.sts.Calls() {
		if strings.Contains(call.UserAgent+" ", "refresh/"+pod+" ") {
			calls = append(calls, call)
		}
	}
	return calls
}

// podOf is the one of a Deployment in dock.
func (w *world) podOf(name string) (pod corev1.Pod) {
	w.Helper()
	w.eventually(name+" has one pod", func() error {
		var pods corev1.PodList
		if err := w.api.List(w.ctx, &pods, client.InNamespace(dock), client.MatchingLabels{"app": name}); err != nil {
			return err
		}
		if len(pods.Items) != 1 {
			return fmt.Errorf("it has %d", len(pods.Items))
		}
		pod = pods.Items[0]
		return nil
	})
	return pod
}

func (w *world) dock() *v1alpha1.StsCredential { return w.credentialIn(dock, dock) }
