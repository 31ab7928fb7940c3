// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package kubectl

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// A user of a namespace cannot make a trust policy name another caller with a Deployment and a pod that look like the operator's.
func TestTrustPolicyIgnoresForgedOperators(t *testing.T) {
	e := newEnvironment(t)
	e.credential("orders")
	const forged = "acs:ram::6666666666666666:role/stranger"
	labels := map[string]string{"app.kubernetes.io/name": "sts-credential-operator", "app": "x"}
	template := podOf(corev1.Container{Name: "manager", Env: []corev1.EnvVar{{Name: "ALIBABA_CLOUD_ROLE_ARN", Value: forged}}})
	template.Labels = labels
	d := e.deployment("sts-credential-operator", template)
	d.Labels = labels
	e.create(d)
	pod := &corev1.Pod{ObjectMeta: e.meta("sts-credential-operator"), Spec: template.Spec}
	pod.Labels = labels
	e.create(pod)
	if got := e.admin("trust-policy", "orders"); strings.Contains(got.String(), forged) {
		t.Errorf("the policy trusts a stranger: %s", got)
	}
}
