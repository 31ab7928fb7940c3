// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package command

import (
	"bytes"
	"strings"
	"unicode"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/secret"
)

// Objects are kept without what no check reads, so that memory stays small and no value of a Secret is kept.

func slimCredential(c *v1alpha1.StsCredential) *v1alpha1.StsCredential {
	c.ManagedFields = nil
	return c
}

func slimNode(n *corev1.Node) corev1.Node {
	return corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: n.Name, Labels: n.Labels},
		Spec:       corev1.NodeSpec{ProviderID: n.Spec.ProviderID},
		Status:     corev1.NodeStatus{Conditions: n.Status.Conditions},
	}
}

func slimPod(p *corev1.Pod) *corev1.Pod {
	p = p.DeepCopy() // not the page that the pod came in
	p.ManagedFields = nil
	maskPodSpec(&p.Spec)
	return p
}

// maskPodSpec masks the values of variables that may be secret.
func maskPodSpec(spec *corev1.PodSpec) {
	for _, containers := range [][]corev1.Container{spec.InitContainers, spec.Containers} {
		for i := range containers {
			for j := range containers[i].Env {
				maskVariable(&containers[i].Env[j])
			}
		}
	}
}

func maskVariable(e *corev1.EnvVar) {
	for _, word := range []string{"SECRET", "TOKEN", "PASSWORD", "ACCESS_KEY", "ACCESSKEY"} {
		if strings.Contains(strings.ToUpper(e.Name), word) && !strings.HasSuffix(e.Name, "_FILE") {
			e.Value = string(mask([]byte(e.Value)))
			return
		}
	}
}

// stripSecret keeps the record of a Secret, and the hash of its data.
func stripSecret(s *corev1.Secret) *corev1.Secret {
	immutable := s.Immutable
	_, _ = secret.Strip(s) // changes a Secret in place, and cannot fail
	s.Immutable = immutable
	return s
}

// maskSecret masks the values of a Secret.
func maskSecret(s *corev1.Secret) *corev1.Secret {
	s.ManagedFields = nil
	delete(s.Annotations, corev1.LastAppliedConfigAnnotation)
	for key, value := range s.Data {
		s.Data[key] = mask(value)
	}
	return s
}

// maxMasked is the longest value of which the length is kept.
const maxMasked = 256

// mask replaces the letters and digits of a value by x and other characters by *, except for the prefix that shows what an
// AccessKey ID is. White space stays.
func mask(value []byte) []byte {
	value = value[:min(len(value), maxMasked)]
	masked := bytes.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return r
		case unicode.IsLetter(r), unicode.IsDigit(r):
			return 'x'
		}
		return '*'
	}, value)
	for _, prefix := range []string{"LTAI", "STS."} {
		if bytes.HasPrefix(value, []byte(prefix)) {
			copy(masked, prefix)
		}
	}
	return masked
}
