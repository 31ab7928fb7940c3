// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package scan

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A Secret with many AccessKeys and a workload that reads it many times do not multiply.
func TestReadersAreBounded(t *testing.T) {
	const n = 1000
	s, secret := New(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "keys"}, Data: map[string][]byte{}}
	template := &corev1.PodTemplateSpec{}
	for i := range n {
		secret.Data[fmt.Sprint(i)] = fmt.Appendf(nil, "LTAI5tQ7vBm2XkR9cWz%04d", i)
		template.Spec.Containers = append(template.Spec.Containers, corev1.Container{Name: fmt.Sprint("c", i), EnvFrom: []corev1.EnvFromSource{{
			SecretRef: &corev1.SecretEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "keys"}},
		}}})
	}
	s.AddSecret(secret)
	s.AddWorkload("Deployment", &metav1.ObjectMeta{Namespace: "shop", Name: "orders"}, template)
	readers := 0
	findings := s.Report().Findings
	for _, f := range findings {
		if len(f.Readers) == 0 {
			t.Fatalf("%s has no reader", f.Place)
		}
		readers += len(f.Readers)
	}
	if len(findings) < n*9/10 || readers > 2*maxReaders*n {
		t.Errorf("%d findings with %d readers", len(findings), readers)
	}
}
