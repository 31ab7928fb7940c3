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
		if len(f.Readers) == 0 || len(f.Readers)+f.MoreReaders != n {
			t.Fatalf("%s has %d readers and %d more, want %d", f.Place, len(f.Readers), f.MoreReaders, n)
		}
		readers += len(f.Readers)
	}
	if len(findings) < n*9/10 || readers > 2*maxReaders*n {
		t.Errorf("%d findings with %d readers", len(findings), readers)
	}
}

func TestFindingsOfAnObjectAreBounded(t *testing.T) {
	s, secret := New(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "keys"}, Data: map[string][]byte{}}
	const n = 2 * maxFindings
	for i := range n {
		secret.Data[fmt.Sprintf("%05d", i)] = fmt.Appendf(nil, "LTAI5tQ7vBm2XkR9cWz%04d", 1000+i*3)
	}
	s.AddSecret(secret)
	findings := s.Report().Findings
	var more int
	if _, err := fmt.Sscanf(findings[len(findings)-1].Note, "and %d more AccessKeys in the object", &more); err != nil {
		t.Errorf("the note of the last finding: %v", err)
	}
	if len(findings) != maxFindings || more < n*8/10-maxFindings || more > n-maxFindings {
		t.Errorf("%d findings and %d more", len(findings), more)
	}
}

func TestMountsAreBounded(t *testing.T) {
	s := New()
	s.AddSecret(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "keys"}, Data: map[string][]byte{"id": []byte(testID)}})
	template := &corev1.PodTemplateSpec{Spec: corev1.PodSpec{
		Volumes:    []corev1.Volume{{Name: "keys", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "keys"}}}},
		Containers: []corev1.Container{{Name: "main"}},
	}}
	for i := range maxMounts + 1 {
		template.Spec.Containers[0].VolumeMounts = append(template.Spec.Containers[0].VolumeMounts, corev1.VolumeMount{Name: "keys", MountPath: fmt.Sprint("/", i), SubPath: "id"})
	}
	s.AddWorkload("Deployment", &metav1.ObjectMeta{Namespace: "shop", Name: "orders"}, template)
	r := s.Report()
	if len(r.Unread) != 1 || len(r.Findings[0].Readers) != maxReaders || r.Findings[0].MoreReaders != maxMounts-maxReaders {
		t.Errorf("%d readers and %d more, unread %v", len(r.Findings[0].Readers), r.Findings[0].MoreReaders, r.Unread)
	}
}
