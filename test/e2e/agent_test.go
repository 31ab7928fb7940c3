// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"errors"
	"fmt"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
)

const (
	// agentNamespace is the namespace of the third release's workloads, the role and the StsCredential there.
	agentNamespace = "with-agent"
	agentSystem    = "with-agent-system"
	// away is how long the operator is away when a renewal is due: a little before, and the rest after it.
	away = 30 * time.Second
)

// labelledNames are the workloads that have the label and nothing else. Each calls STS with another client.
var labelledNames = []string{"go-v2", "go-v2-each", "go-v1", "node-v2"}

// unlabelled reads the same Secret by variables.
func unlabelled() reader {
	return reader{&appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: agentNamespace, Name: "unlabelled"}}, "deployment", true}
}

func (env *environment) installCRDs() {
	env.kubectl("apply", "--server-side", "--kustomize", root+"/config/crd")
}

// agentRelease adds the agent to the pods of its namespace, and restarts workloads there.
func (env *environment) agentRelease() {
	env.eventually("the CRDs are there", func() error {
		return env.api.List(env.ctx, &v1alpha1.StsCredentialList{})
	})
	env.kubectl("create", "namespace", agentSystem)
	env.kubectl("create", "namespace", agentNamespace)
	env.kubectl("label", "namespace", agentNamespace, "pod-security.kubernetes.io/enforce=restricted")
	env.kubectl("--namespace="+agentSystem, "create", "secret", "generic", "ram-user",
		"--from-literal=ALIBABA_CLOUD_ACCESS_KEY_ID="+env.key.ID, "--from-literal=ALIBABA_CLOUD_ACCESS_KEY_SECRET="+env.key.Secret)
	notes := env.helm(append([]string{"--namespace=" + agentSystem, "install", "with-agent", chart, "--set=fullnameOverride=with-agent", "--set=crds.enabled=false",
		"--set=namespaces={" + agentNamespace + "}", "--set=selector=example.com/release=with-agent", "--set=rollouts.enabled=true", "--set=replicaCount=1",
		"--set=agent.injection.enabled=true", "--set=identity.existingSecret=ram-user", "--set=stsEndpoint=" + env.url, "--wait"}, imageValues(image)...)...)
	env.must(contains(notes, "by MutatingAdmissionPolicy v1\n"))
}

// waitForSecret starts the workloads before there is a Secret, and one more whose Secret lacks the key. The kubelet's events say
// what they wait for.
func (env *environment) waitForSecret() {
	env.kubectl("--namespace="+agentNamespace, "create", "secret", "generic", "no-key", "--from-literal=a=b")
	env.apply("with-agent-without-key.yaml")
	env.apply("with-agent.yaml")
	env.eventually("events say what pods wait for", func() error {
		return contains(env.kubectl("--namespace="+agentNamespace, "get", "events", "--field-selector=reason=FailedMount"),
			`secret "with-agent" not found`, "references non-existent secret key: credentials.json")
	})
	env.kubectl("--namespace="+agentNamespace, "delete", "pod", "without-key", "--wait=false")
	env.apply("with-agent-credential.yaml")
}

// labelledWorkloads start once the Secret is there, and learn from STS who they are.
func (env *environment) labelledWorkloads() {
	for _, name := range append([]string{"unlabelled"}, labelledNames...) {
		env.kubectl("--namespace="+agentNamespace, "rollout", "status", "deployment/"+name, "--timeout=3m")
	}
	for _, name := range labelledNames {
		env.eventually(name+" calls STS", func() error {
			if len(env.callsOf("refresh/"+env.podIn(agentNamespace, name).Name+" ")) == 0 {
				return errors.New("it does not")
			}
			return nil
		})
	}
	env.eventually("all are counted", func() error {
		if c := env.agentCredential().Status.Consumers; c == nil || c.Pods != 5 || c.Stale != 0 {
			return fmt.Errorf("consumers %+v", c)
		}
		return nil
	})
}

// followLifetimes watches three lifetimes of the credentials. The operator is away when a renewal is due.
func (env *environment) followLifetimes() {
	before := map[string]types.UID{}
	for _, name := range labelledNames {
		before[name] = env.podIn(agentNamespace, name).UID
	}
	start := time.Now()
	watch := func(until time.Duration) {
		for ; time.Since(start) < until; env.sleep(time.Second) {
			env.onlyUnlabelledRestarts()
		}
	}
	watch(env.life)
	env.operatorAway()
	watch(lifetimes * env.life)
	for _, name := range labelledNames {
		if after := env.podIn(agentNamespace, name); after.UID != before[name] {
			env.Errorf("%s has another pod now, %s", name, after.Name)
		}
	}
}

// operatorAway stops the operator shortly before a renewal is due, and starts it some time after.
func (env *environment) operatorAway() {
	calls := len(env.issued(agentNamespace))
	env.eventually("a renewal is some seconds away", func() error {
		if left := time.Until(env.agentCredential().Status.RenewAt.Time); left < 10*time.Second {
			return fmt.Errorf("it is %s away", left)
		}
		calls = len(env.issued(agentNamespace))
		return nil
	})
	due := env.agentCredential().Status.RenewAt.Time
	env.sleep(time.Until(due) - 5*time.Second)
	env.kubectl("--namespace="+agentSystem, "scale", "deployment/with-agent", "--replicas=0")
	env.sleep(time.Until(due) + away - 5*time.Second)
	if got := len(env.issued(agentNamespace)); got != calls {
		env.Errorf("STS was called %d times in the operator's absence", got-calls)
	}
	env.kubectl("--namespace="+agentSystem, "scale", "deployment/with-agent", "--replicas=1")
	env.eventually("the operator renews", func() error {
		if len(env.issued(agentNamespace)) == calls {
			return errors.New("it does not")
		}
		return nil
	})
	env.Logf("renewed %s late", time.Since(due).Round(time.Second))
}

// onlyUnlabelledRestarts insists that the workload without the label is restarted for renewals alone, and the others are not.
func (env *environment) onlyUnlabelledRestarts() {
	env.Helper()
	c := env.agentCredential()
	env.requireHealthy(c)
	// During a rolling update the workload without the label has two pods, and the next renewal may come before its end.
	if unlabelledPods := c.Status.Consumers.Pods - int32(len(labelledNames)); c.Status.Consumers.Stale > unlabelledPods {
		env.Fatalf("consumers %+v, and only the pods of the workload without the label can be stale", c.Status.Consumers)
	}
	for _, name := range labelledNames {
		if got := env.restartsOf(reader{Object: &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: agentNamespace, Name: name}}}); got != 0 {
			env.Fatalf("%s was restarted %d times", name, got)
		}
	}
	// Renewals come faster than restarts, so that one restart may serve two of them.
	got := env.restartsOf(unlabelled())
	if renewals := len(env.issued(agentNamespace)) - 1; got > renewals {
		env.Fatalf("the workload without the label was restarted %d times, with %d renewals", got, renewals)
	}
}

// labelledUndisturbed checks what remains of it all: the pods are the first ones, nothing in them was restarted, they used one key
// after the other, and not one call failed.
func (env *environment) labelledUndisturbed() {
	for _, name := range labelledNames {
		pod := env.podIn(agentNamespace, name)
		for _, status := range append(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses...) {
			if status.RestartCount > 0 {
				env.Errorf("%s (%s) was restarted %d times", name, status.Name, status.RestartCount)
			}
		}
		if log := env.kubectl("--namespace="+agentNamespace, "logs", pod.Name, "--container=app"); strings.Contains(log, "failure") {
			env.Errorf("%s failed:\n%s\nits agent:\n%s", name, log, env.kubectl("--namespace="+agentNamespace, "logs", pod.Name, "--container=stscred-agent"))
		}
		calls, keys := env.callsOf("refresh/"+pod.Name+" "), map[string]bool{}
		for _, call := range calls {
			keys[call.AccessKeyID] = true
			if call.Code != "" {
				env.Errorf("%s failed: %+v", name, call)
			}
		}
		if least := int((lifetimes * env.life).Seconds()) / 2; len(calls) < least {
			env.Errorf("%s made %d calls, want at least %d", name, len(calls), least)
		}
		if len(keys) < 3 {
			env.Errorf("%s used %d keys", name, len(keys))
		}
		env.Logf("%s: %d calls with %d keys, of %d issued", name, len(calls), len(keys), len(env.issued(agentNamespace)))
	}
	for _, call := range env.sts.Calls() {
		if strings.Contains(call.UserAgent, "whoami/unlabelled-") && call.Code != "" {
			env.Errorf("the workload without the label failed: %+v", call)
		}
	}
	restarts := env.restartsOf(unlabelled())
	if restarts < lifetimes {
		env.Errorf("the workload without the label was restarted %d times", restarts)
	}
	env.Logf("unlabelled: %d restarts", restarts)
}

func (env *environment) agentCredential() *v1alpha1.StsCredential {
	return env.credentialIn(agentNamespace, agentNamespace)
}
