// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"path/filepath"
	"strings"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	release = "sts"
	system  = "sts-system"
	chart   = root + "/charts/sts-credential-operator"
)

// firstFiveMinutes are those of somebody who meets the operator, as the page tells them: what it says when it is
// installed, what it says of a wish that nobody granted, what a grant changes, and whom a pod finds itself to be.
func (w *world) firstFiveMinutes() {
	w.play("docs/first-five-minutes.md")
	w.ready(2)
	w.knowsItself(operator, w.url)
	if issued := w.issued("orders-reader"); len(issued) != 1 {
		w.Errorf("STS was asked %d times; want once, when the role was granted: %v", len(issued), issued)
	}
	w.kubectl("label", "namespace", "shop", "pod-security.kubernetes.io/enforce=restricted")
	w.kubectl("create", "clusterrolebinding", "shop-reads-metrics",
		"--clusterrole=sts-credential-operator-metrics-reader", "--serviceaccount=shop:default")
}

// knowsItself waits until the operator has logged who it is, and to which STS.
func (w *world) knowsItself(arn, url string) {
	w.Helper()
	w.eventually("the operator is "+arn, func() error {
		return contains(w.kubectl("--namespace="+system, "logs", "--selector=app.kubernetes.io/name=sts-credential-operator", "--tail=-1"),
			arn, url)
	})
}

// values are what another image of the operator needs, with what this release does and does not do.
func (w *world) values(image string) []string { return append(imageValues(image), lifeValues...) }

// lifeValues have the release tell of pods, and leave to the other one what is labelled so.
var lifeValues = []string{"--set=trackConsumers.enabled=true", "--set=selector=!example.com/release"}

func imageValues(image string) []string {
	repository, tag, _ := strings.Cut(image, ":")
	return []string{"--set=image.repository=" + repository, "--set=image.tag=" + tag, "--timeout=2m"}
}

// previousChart is the chart as an earlier release would have been.
func (w *world) previousChart() string {
	w.helm("package", chart, "--version=0.0.1", "--destination="+w.home)
	return filepath.Join(w.home, "sts-credential-operator-0.0.1.tgz")
}

// ready waits until so many replicas are ready, on one image, and one of them leads.
func (w *world) ready(replicas int) {
	w.Helper()
	w.kubectl("--namespace="+system, "rollout", "status", "deployment/sts-credential-operator", "--timeout=2m")
	w.eventually(fmt.Sprintf("%d replicas are ready", replicas), func() error {
		ready := 0
		for _, pod := range w.replicas() {
			for _, condition := range pod.Status.Conditions {
				if condition.Type == corev1.PodReady && condition.Status == corev1.ConditionTrue {
					ready++
				}
			}
		}
		if ready != replicas || len(w.replicas()) != replicas {
			return fmt.Errorf("%d of %d are", ready, len(w.replicas()))
		}
		return nil
	})
	w.eventually("one of them leads", func() error {
		_, err := w.leader()
		return err
	})
}

// replicas are the operator's pods.
func (w *world) replicas() []corev1.Pod { return w.replicasIn(system) }

func (w *world) replicasIn(namespace string) []corev1.Pod {
	w.Helper()
	var pods corev1.PodList
	w.must(w.api.List(w.ctx, &pods, client.InNamespace(namespace), client.MatchingLabels{"app.kubernetes.io/name": "sts-credential-operator"}))
	return pods.Items
}

// lease is the one that the leader holds.
func (w *world) lease() *coordinationv1.Lease {
	w.Helper()
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: system, Name: "sts-credential-operator"}}
	w.must(w.api.Get(w.ctx, client.ObjectKeyFromObject(lease), lease))
	return lease
}

// leader is the replica that holds the lease, which is named by its pod and a number that is made up at each start.
func (w *world) leader() (*corev1.Pod, error) {
	w.Helper()
	lease := w.lease()
	if lease.Spec.HolderIdentity == nil {
		return nil, fmt.Errorf("nobody holds the lease")
	}
	for _, pod := range w.replicas() {
		if strings.HasPrefix(*lease.Spec.HolderIdentity, pod.Name+"_") {
			return &pod, nil
		}
	}
	return nil, fmt.Errorf("%s holds the lease, who is no replica", *lease.Spec.HolderIdentity)
}

// helmTest runs the tests that the chart brings, and what else the pages give to paste and wants a node.
func (w *world) helmTest() {
	for _, page := range []string{
		"docs/install.md", "docs/operations.md", "docs/private-networks.md", "docs/runbooks/actiontrail.md", "charts/sts-credential-operator/README.md",
	} {
		w.play(page)
	}
}
