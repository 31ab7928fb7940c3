// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"crypto/tls"
	"errors"
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
func (w *world) workloads() {
	w.apply("whoami.yaml")
	w.apply("brief.yaml")
	w.kubectl("--namespace=shop", "rollout", "status", "deployment/whoami", "--timeout=2m")
	w.kubectl("--namespace=shop", "rollout", "status", "deployment/brief", "--timeout=2m")
	w.says("whoami", "env", "orders-reader", 1)
	w.says("whoami", "volume", "orders-reader", 1)
	w.says("brief", "volume", "orders-brief", 1)
}

// says waits until a container has told so many times who it is.
func (w *world) says(app, container, credential string, times int) {
	w.Helper()
	arn := fmt.Sprintf("acs:ram::%s:assumed-role/%s/shop.%[2]s, expires 20", account, credential)
	w.eventually(fmt.Sprintf("%s (%s) is %s, time %d", app, container, arn, times), func() error {
		log := w.kubectl("--namespace=shop", "logs", "deployment/"+app, "--container="+container)
		if got := strings.Count(log, arn); got < times {
			return fmt.Errorf("%d times in:\n%s", got, log)
		}
		return nil
	})
}

// renewal is asked for: the files of a running pod change, its environment does not, and both work.
func (w *world) renewal() {
	before := w.pod("whoami")
	old := w.credential("orders-reader").Status.AccessKeyID
	w.kubectl("--namespace=shop", "annotate", "stscred/orders-reader", "sts.alibabacloud.com/renew-requested-at=now")
	w.says("whoami", "volume", "orders-reader", 2)
	if got := w.credential("orders-reader").Status.AccessKeyID; got == old {
		w.Errorf("it still is %s", got)
	}
	w.staleIsTold(before.Name)
	after := w.pod("whoami")
	if before.UID != after.UID {
		w.Errorf("the pod %s was replaced by %s", before.Name, after.Name)
	}
	// Each goes on with what it read: one with the old key, one with the new.
	renewed := time.Now()
	w.eventually("both keys are in use", func() error {
		used := map[string]bool{}
		for _, call := range w.calls() {
			if call.Time.After(renewed) {
				used[call.AccessKeyID] = true
			}
		}
		if !used[old] || !used[w.credential("orders-reader").Status.AccessKeyID] {
			return fmt.Errorf("used are %v", used)
		}
		return nil
	})
}

// staleIsTold waits until the operator tells that a pod holds what the Secret held before.
func (w *world) staleIsTold(pod string) {
	w.Helper()
	w.eventually("the pod is told of", func() error {
		c := w.credential("orders-reader")
		told := meta.FindStatusCondition(c.Status.Conditions, v1alpha1.ConditionPodsStale)
		consumers := c.Status.Consumers
		if told == nil || consumers == nil || consumers.Pods != 1 || consumers.Stale != 1 || consumers.StaleExpireAt == nil {
			return fmt.Errorf("condition %v, consumers %+v", told, consumers)
		}
		if told.Status != metav1.ConditionTrue || told.Reason != v1alpha1.ReasonPodsOutliveCredentials {
			return fmt.Errorf("condition %+v", told)
		}
		return contains(told.Message, pod)
	})
	w.must(contains(w.kubectl("--namespace=shop", "get", "stscred", "orders-reader", "--output=wide"), "STALE"))
	w.eventually("an event tells it", func() error {
		return contains(w.kubectl("--namespace=shop", "get", "events", "--field-selector=reason="+v1alpha1.ReasonPodsOutliveCredentials), pod)
	})
}

// nobodyNoticed checks that the workloads called STS all the time, and never failed.
func (w *world) nobodyNoticed() {
	for app, containers := range map[string]int{"whoami": 2, "brief": 1} {
		pod := w.pod(app)
		for _, status := range pod.Status.ContainerStatuses {
			if status.RestartCount > 0 {
				w.Errorf("%s (%s) was restarted %d times", app, status.Name, status.RestartCount)
			}
			if log := w.kubectl("--namespace=shop", "logs", pod.Name, "--container="+status.Name); strings.Contains(log, "failure") {
				w.Errorf("%s (%s) failed:\n%s", app, status.Name, log)
			}
		}
		// That they called at all: at least every third second.
		calls, running := 0, time.Since(pod.Status.StartTime.Time)
		for _, call := range w.calls() {
			if strings.Contains(call.UserAgent, "whoami/"+pod.Name) {
				calls++
			}
		}
		if least := int(running.Seconds()) / 3 * containers; calls < least {
			w.Errorf("%s made %d calls in %s; want at least %d", app, calls, running, least)
		}
	}
	for _, call := range w.calls() {
		if call.Code != "" {
			w.Errorf("STS refused a workload: %+v", call)
		}
	}
	for app, want := range map[string]v1alpha1.Consumers{"orders-reader": {Pods: 1, Stale: 1}, "orders-brief": {Pods: 1}} {
		got := w.credential(app).Status.Consumers
		if got == nil || got.Pods != want.Pods || got.Stale != want.Stale {
			w.Errorf("%s has consumers %+v, want %+v", app, got, want)
		}
	}
	w.metrics()
}

// metrics are read as Prometheus does, from each replica. The leader alone tells of the credentials, and of no expiry.
func (w *world) metrics() {
	telling := 0
	for _, pod := range w.replicas() {
		text := w.metricsOf(pod, "shop")
		if strings.Contains(text, `stscredential_ready{name="orders-reader",namespace="shop"} 1`) {
			telling++
			w.must(contains(text, "\nstscredential_expired_seconds_total 0\n", `stscredential_stale_pods{name="orders-reader",namespace="shop"} 1`))
		}
	}
	if telling != 1 {
		w.Errorf("%d replicas say that orders-reader is ready, want one", telling)
	}
}

// metricsOf are those that a replica tells to the default account of a namespace.
func (w *world) metricsOf(replica corev1.Pod, reader string) string {
	w.Helper()
	token := strings.TrimSpace(w.kubectl("--namespace="+reader, "create", "token", "default"))
	return w.scrape("https://"+net.JoinHostPort(replica.Status.PodIP, "8443")+"/metrics", token)
}

func (w *world) scrape(url, token string) string {
	w.Helper()
	request, err := http.NewRequestWithContext(w.ctx, http.MethodGet, url, http.NoBody)
	w.must(err)
	request.Header.Set("Authorization", "Bearer "+token)
	// The operator signs its certificate itself.
	client := &http.Client{Timeout: patience, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	response, err := client.Do(request)
	w.must(err)
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	w.must(err)
	if response.StatusCode != http.StatusOK {
		w.Fatalf("%s: %s: %s", url, response.Status, text)
	}
	return string(text)
}

// calls are the workloads'.
func (w *world) calls() (calls []stsemulator.Call) {
	for _, call := range w.sts.Calls() {
		if strings.Contains(call.UserAgent, "whoami/") {
			calls = append(calls, call)
		}
	}
	return calls
}

// issued are the calls that asked for a role.
func (w *world) issued(name string) (calls []stsemulator.Call) {
	for _, call := range w.sts.Calls() {
		if call.RoleARN == role(name) {
			calls = append(calls, call)
		}
	}
	return calls
}

// pod is the one of a Deployment of one replica.
func (w *world) pod(app string) (pod corev1.Pod) {
	w.Helper()
	w.eventually(app+" has one pod", func() error {
		var pods corev1.PodList
		if err := w.api.List(w.ctx, &pods, client.InNamespace("shop"), client.MatchingLabels{"app": app}); err != nil {
			return err
		}
		if len(pods.Items) != 1 {
			return errors.New("it has " + fmt.Sprint(len(pods.Items)))
		}
		pod = pods.Items[0]
		return nil
	})
	return pod
}

func (w *world) credential(name string) *v1alpha1.StsCredential { return w.credentialIn("shop", name) }

func (w *world) credentialIn(namespace, name string) *v1alpha1.StsCredential {
	w.Helper()
	c := &v1alpha1.StsCredential{}
	w.must(w.api.Get(w.ctx, types.NamespacedName{Namespace: namespace, Name: name}, c))
	return c
}
