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

// firstFiveMinutes follows the page for new users: what it says when it is
// installed, what it says of a wish that nobody granted, what a grant changes, and whom a pod finds itself to be.
func (env *environment) firstFiveMinutes() {
	env.play("docs/first-five-minutes.md")
	env.ready(2)
	env.knowsItself(operator, env.url)
	if issued := env.issued("orders-reader"); len(issued) != 1 {
		env.Errorf("STS was asked %d times; want once, when the role was granted: %v", len(issued), issued)
	}
	env.kubectl("label", "namespace", "shop", "pod-security.kubernetes.io/enforce=restricted")
	env.kubectl("create", "clusterrolebinding", "shop-reads-metrics",
		"--clusterrole=sts-credential-operator-metrics-reader", "--serviceaccount=shop:default")
}

// knowsItself waits until the operator has logged who it is, and to which STS.
func (env *environment) knowsItself(arn, url string) {
	env.Helper()
	env.eventually("the operator is "+arn, func() error {
		return contains(env.kubectl("--namespace="+system, "logs", "--selector=app.kubernetes.io/name=sts-credential-operator", "--tail=-1"),
			arn, url)
	})
}

// values are what another image of the operator needs, with what this release does and does not do.
func (env *environment) values(image string) []string {
	return append(imageValues(image), lifeValues...)
}

// lifeValues enable the tracking of pods, and leave the StsCredentials of the other releases to them.
var lifeValues = []string{"--set=trackConsumers.enabled=true", "--set=selector=!example.com/release"}

func imageValues(image string) []string {
	repository, tag, _ := strings.Cut(image, ":")
	return []string{"--set=image.repository=" + repository, "--set=image.tag=" + tag, "--timeout=2m"}
}

// previousChart is the chart as an earlier release would have been.
func (env *environment) previousChart() string {
	env.helm("package", chart, "--version=0.0.1", "--destination="+env.home)
	return filepath.Join(env.home, "sts-credential-operator-0.0.1.tgz")
}

// ready waits until so many replicas are ready, on one image, and one of them leads.
func (env *environment) ready(replicas int) {
	env.Helper()
	env.kubectl("--namespace="+system, "rollout", "status", "deployment/sts-credential-operator", "--timeout=2m")
	env.eventually(fmt.Sprintf("%d replicas are ready", replicas), func() error {
		ready := 0
		for _, pod := range env.replicas() {
			for _, condition := range pod.Status.Conditions {
				if condition.Type == corev1.PodReady && condition.Status == corev1.ConditionTrue {
					ready++
				}
			}
		}
		if ready != replicas || len(env.replicas()) != replicas {
			return fmt.Errorf("%d of %d are", ready, len(env.replicas()))
		}
		return nil
	})
	env.eventually("one of them leads", func() error {
		_, err := env.leader()
		return err
	})
}

// replicas are the operator's pods.
func (env *environment) replicas() []corev1.Pod { return env.replicasIn(system) }

func (env *environment) replicasIn(namespace string) []corev1.Pod {
	env.Helper()
	var pods corev1.PodList
	env.must(env.api.List(env.ctx, &pods, client.InNamespace(namespace), client.MatchingLabels{"app.kubernetes.io/name": "sts-credential-operator"}))
	return pods.Items
}

// lease is the one that the leader holds.
func (env *environment) lease() *coordinationv1.Lease {
	env.Helper()
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: system, Name: "sts-credential-operator"}}
	env.must(env.api.Get(env.ctx, client.ObjectKeyFromObject(lease), lease))
	return lease
}

// leader is the replica that holds the lease, which is named by its pod and a number that is made up at each start.
func (env *environment) leader() (*corev1.Pod, error) {
	env.Helper()
	lease := env.lease()
	if lease.Spec.HolderIdentity == nil {
		return nil, fmt.Errorf("nobody holds the lease")
	}
	for _, pod := range env.replicas() {
		if strings.HasPrefix(*lease.Spec.HolderIdentity, pod.Name+"_") {
			return &pod, nil
		}
	}
	return nil, fmt.Errorf("%s holds the lease, who is no replica", *lease.Spec.HolderIdentity)
}

// helmTest runs the tests that the chart brings, and what else the pages give to paste and wants a node.
func (env *environment) helmTest() {
	for _, page := range []string{
		"docs/install.md", "docs/operations.md", "docs/private-networks.md", "docs/runbooks/actiontrail.md", "charts/sts-credential-operator/README.md",
	} {
		env.play(page)
	}
}
