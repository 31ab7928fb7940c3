// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/test/stsemulator"
)

// briefly is how long the credentials of orders-brief live.
const briefly = 3 * time.Minute

// workloads start, and learn from STS who they are.
func (env *environment) workloads() {
	env.apply("whoami.yaml")
	env.apply("brief.yaml")
	env.kubectl("--namespace=shop", "rollout", "status", "deployment/whoami", "--timeout=2m")
	env.kubectl("--namespace=shop", "rollout", "status", "deployment/brief", "--timeout=2m")
	env.says("whoami", "env", "orders-reader", 1)
	env.says("whoami", "volume", "orders-reader", 1)
	env.says("brief", "volume", "orders-brief", 1)
}

// says waits until a container has logged its identity so many times.
func (env *environment) says(app, container, credential string, times int) {
	env.Helper()
	arn := fmt.Sprintf("acs:ram::%s:assumed-role/%s/shop.%[2]s, expires 20", account, credential)
	env.eventually(fmt.Sprintf("%s (%s) is %s, time %d", app, container, arn, times), func() error {
		log := env.kubectl("--namespace=shop", "logs", "deployment/"+app, "--container="+container)
		if got := strings.Count(log, arn); got < times {
			return fmt.Errorf("%d times in:\n%s", got, log)
		}
		return nil
	})
}

// renewal is asked for: the files of a running pod change, its environment does not, and both work.
func (env *environment) renewal() {
	before := env.podIn("shop", "whoami")
	old := env.credential("orders-reader").Status.AccessKeyID
	env.kubectl("--namespace=shop", "annotate", "stscred/orders-reader", "sts.alibabacloud.com/renew-requested-at=now")
	env.says("whoami", "volume", "orders-reader", 2)
	if got := env.credential("orders-reader").Status.AccessKeyID; got == old {
		env.Errorf("it still is %s", got)
	}
	env.staleIsReported(before.Name)
	after := env.podIn("shop", "whoami")
	if before.UID != after.UID {
		env.Errorf("the pod %s was replaced by %s", before.Name, after.Name)
	}
	// Each goes on with what it read: one with the old key, one with the new.
	renewed := time.Now()
	env.eventually("both keys are in use", func() error {
		used := map[string]bool{}
		for _, call := range env.callsOf("whoami/") {
			if call.Time.After(renewed) {
				used[call.AccessKeyID] = true
			}
		}
		if !used[old] || !used[env.credential("orders-reader").Status.AccessKeyID] {
			return fmt.Errorf("used are %v", used)
		}
		return nil
	})
}

// staleIsReported waits until the operator reports that a pod uses superseded credentials.
func (env *environment) staleIsReported(pod string) {
	env.Helper()
	env.eventually("the status reports the pod", func() error {
		c := env.credential("orders-reader")
		stale := meta.FindStatusCondition(c.Status.Conditions, v1alpha1.ConditionPodsStale)
		consumers := c.Status.Consumers
		if stale == nil || consumers == nil || consumers.Pods != 1 || consumers.Stale != 1 || consumers.StaleExpireAt == nil {
			return fmt.Errorf("condition %v, consumers %+v", stale, consumers)
		}
		if stale.Status != metav1.ConditionTrue || stale.Reason != v1alpha1.ReasonPodsOutliveCredentials {
			return fmt.Errorf("condition %+v", stale)
		}
		return contains(stale.Message, pod)
	})
	env.must(contains(env.kubectl("--namespace=shop", "get", "stscred", "orders-reader", "--output=wide"), "STALE"))
	env.eventually("an event reports it", func() error {
		return contains(env.kubectl("--namespace=shop", "get", "events", "--field-selector=reason="+v1alpha1.ReasonPodsOutliveCredentials), pod)
	})
}

// nobodyNoticed checks that the workloads called STS all the time, and never failed.
func (env *environment) nobodyNoticed() {
	for app, containers := range map[string]int{"whoami": 2, "brief": 1} {
		pod := env.podIn("shop", app)
		for _, status := range pod.Status.ContainerStatuses {
			if status.RestartCount > 0 {
				env.Errorf("%s (%s) was restarted %d times", app, status.Name, status.RestartCount)
			}
			if log := env.kubectl("--namespace=shop", "logs", pod.Name, "--container="+status.Name); strings.Contains(log, "failure") {
				env.Errorf("%s (%s) failed:\n%s", app, status.Name, log)
			}
		}
		// That they called at all: at least every third second.
		calls, running := 0, time.Since(pod.Status.StartTime.Time)
		for _, call := range env.callsOf("whoami/") {
			if strings.Contains(call.UserAgent, "whoami/"+pod.Name) {
				calls++
			}
		}
		if least := int(running.Seconds()) / 3 * containers; calls < least {
			env.Errorf("%s made %d calls in %s; want at least %d", app, calls, running, least)
		}
	}
	for _, call := range env.callsOf("whoami/") {
		if call.Code != "" {
			env.Errorf("STS refused a workload: %+v", call)
		}
	}
	for app, want := range map[string]v1alpha1.Consumers{"orders-reader": {Pods: 1, Stale: 1}, "orders-brief": {Pods: 1}} {
		got := env.credential(app).Status.Consumers
		if got == nil || got.Pods != want.Pods || got.Stale != want.Stale {
			env.Errorf("%s has consumers %+v, want %+v", app, got, want)
		}
	}
	env.metrics()
}

// metrics are read as Prometheus does, from each replica. Only the leader reports the credentials, and no expired time.
func (env *environment) metrics() {
	telling := 0
	for _, pod := range env.replicas() {
		text := env.metricsOf(pod, "shop")
		if strings.Contains(text, `stscredential_ready{name="orders-reader",namespace="shop"} 1`) {
			telling++
			env.must(contains(text, "\nstscredential_expired_seconds_total 0\n", `stscredential_stale_pods{name="orders-reader",namespace="shop"} 1`))
		}
	}
	if telling != 1 {
		env.Errorf("%d replicas say that orders-reader is ready, want one", telling)
	}
}

// metricsOf returns the metrics of a replica, read by the default ServiceAccount of a namespace.
func (env *environment) metricsOf(replica corev1.Pod, reader string) string {
	env.Helper()
	token := strings.TrimSpace(env.kubectl("--namespace="+reader, "create", "token", "default"))
	return env.scrape("https://"+net.JoinHostPort(replica.Status.PodIP, "8443")+"/metrics", token)
}

func (env *environment) scrape(url, token string) string {
	env.Helper()
	request, err := http.NewRequestWithContext(env.ctx, http.MethodGet, url, http.NoBody)
	env.must(err)
	request.Header.Set("Authorization", "Bearer "+token)
	// The operator signs its certificate itself.
	client := &http.Client{Timeout: patience, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	response, err := client.Do(request)
	env.must(err)
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	env.must(err)
	if response.StatusCode != http.StatusOK {
		env.Fatalf("%s: %s: %s", url, response.Status, text)
	}
	return string(text)
}

// callsOf returns the calls whose user agent, followed by a space, contains this text.
func (env *environment) callsOf(userAgent string) (calls []stsemulator.Call) {
	for _, call := range env.sts.Calls() {
		if strings.Contains(call.UserAgent+" ", userAgent) {
			calls = append(calls, call)
		}
	}
	return calls
}

// issued are the calls that asked for a role.
func (env *environment) issued(name string) (calls []stsemulator.Call) {
	for _, call := range env.sts.Calls() {
		if call.RoleARN == role(name) {
			calls = append(calls, call)
		}
	}
	return calls
}

// podIn returns the pod of a Deployment with one replica.
func (env *environment) podIn(namespace, app string) (pod corev1.Pod) {
	env.Helper()
	env.eventually(app+" has one pod", func() error {
		var pods corev1.PodList
		if err := env.api.List(env.ctx, &pods, client.InNamespace(namespace), client.MatchingLabels{"app": app}); err != nil {
			return err
		}
		if len(pods.Items) != 1 {
			return fmt.Errorf("%d pods", len(pods.Items))
		}
		pod = pods.Items[0]
		return nil
	})
	return pod
}

func (env *environment) credential(name string) *v1alpha1.StsCredential {
	return env.credentialIn("shop", name)
}

func (env *environment) credentialIn(namespace, name string) *v1alpha1.StsCredential {
	env.Helper()
	c := &v1alpha1.StsCredential{}
	env.must(env.api.Get(env.ctx, types.NamespacedName{Namespace: namespace, Name: name}, c))
	return c
}
