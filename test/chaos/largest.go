// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
)

// sizes in KiB that a tenant tries, from the largest that fits into a request to etcd.
var sizes = []int{1400, 1200, 1000, 750, 500, 250, 120, 60, 30, 15, 8, 4, 2, 1}

const kib = 1 << 10

// ownPrefix is that of the operator's labels and annotations.
const ownPrefix = "sts.alibabacloud.com/"

// way is one field that a tenant fills to make an object large.
type way struct {
	field string
	build func(name string, size int) client.Object
}

// credentialWays make StsCredentials large.
func credentialWays() []way {
	policy := func(statement func(size int) string) func(string, int) client.Object {
		return func(name string, size int) client.Object {
			c := hostileCredential(name)
			c.Spec.Policy = &runtime.RawExtension{Raw: []byte(`{"Version":"1","Statement":[` + statement(size) + `]}`)}
			return c
		}
	}
	many := func(item string) func(int) string {
		return func(size int) string {
			return strings.TrimSuffix(strings.Repeat(item+",", size/(len(item)+1)), ",")
		}
	}
	metadata := func(fill func(*metav1.ObjectMeta, int)) func(string, int) client.Object {
		return func(name string, size int) client.Object {
			c := hostileCredential(name)
			fill(&c.ObjectMeta, size)
			return c
		}
	}
	return []way{
		{"policy with many numbers", policy(many("1"))},
		{"policy with many objects", policy(many("{}"))},
		{"policy with one long action", policy(func(size int) string {
			return `{"Effect":"Allow","Resource":"*","Action":"` + strings.Repeat("a", size) + `"}`
		})},
		{"annotations", metadata(fillAnnotations)},
		{"labels", metadata(fillLabels)},
		{"owner references", metadata(fillOwner)},
		{"managed fields", metadata(fillManagedFields(v1alpha1.GroupVersion.String()))},
	}
}

// secretWays make Secrets with the operator's label large.
func secretWays() []way {
	labelled := func(fill func(*corev1.Secret, int)) func(string, int) client.Object {
		return func(name string, size int) client.Object {
			s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{
				Namespace: hostileNamespace, Name: name, Labels: map[string]string{ownPrefix + "credential-uid": name},
			}}
			fill(s, size)
			return s
		}
	}
	metadata := func(fill func(*metav1.ObjectMeta, int)) func(string, int) client.Object {
		return labelled(func(s *corev1.Secret, size int) { fill(&s.ObjectMeta, size) })
	}
	return []way{
		{"data", labelled(func(s *corev1.Secret, size int) { s.Data = map[string][]byte{"data": make([]byte, size)} })},
		{"annotations", metadata(fillAnnotations)},
		{"record", metadata(fillRecord)},
		{"labels", metadata(fillLabels)},
		{"owner references", metadata(fillOwner)},
		{"finalizers", metadata(fillFinalizers)},
		{"managed fields", metadata(fillManagedFields("v1"))},
	}
}

// podWays make pods large that read the Secrets of StsCredentials.
func podWays(credentials []string) []way {
	reading := func(fill func(*corev1.Pod, int)) func(string, int) client.Object {
		return func(name string, size int) client.Object {
			p := hostilePod(name, credentials)
			fill(p, size)
			return p
		}
	}
	metadata := func(fill func(*metav1.ObjectMeta, int)) func(string, int) client.Object {
		return reading(func(p *corev1.Pod, size int) { fill(&p.ObjectMeta, size) })
	}
	return []way{
		{"environment from many Secrets", reading(fillEnvironment)},
		{"volume of a Secret with a long name", reading(func(p *corev1.Pod, size int) {
			p.Spec.Volumes = append(p.Spec.Volumes, corev1.Volume{Name: "long", VolumeSource: corev1.VolumeSource{
				Secret: &corev1.SecretVolumeSource{SecretName: strings.Repeat("s ,1,", size/5)},
			}})
			p.Spec.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: "long", MountPath: "/long", SubPath: "key"}}
		})},
		{"restart annotations", metadata(func(m *metav1.ObjectMeta, size int) {
			m.Annotations = map[string]string{ownPrefix + "restarted-for": strings.Repeat("c=1,", size/8), ownPrefix + "restarted-at": strings.Repeat("t", size/2)}
		})},
		{"labels", metadata(fillLabels)},
		{"owner references", reading(func(p *corev1.Pod, size int) {
			p.OwnerReferences = []metav1.OwnerReference{{
				APIVersion: "apps/v1", Kind: "StatefulSet", Name: strings.Repeat("w", size), UID: "1", Controller: ptr.To(true),
			}}
		})},
	}
}

// hostileCredential is an StsCredential with as much of everything as the schema allows beside the field that is filled.
func hostileCredential(name string) *v1alpha1.StsCredential {
	c := plainCredential(name)
	c.Spec.ExternalID = strings.Repeat("e", 1224)
	c.Spec.Secret.Labels, c.Spec.Secret.Annotations = map[string]v1alpha1.LabelValue{}, map[string]v1alpha1.AnnotationValue{}
	for i := range 32 {
		key := fmt.Sprintf("example.com/%063d", i)
		c.Spec.Secret.Labels[key] = v1alpha1.LabelValue(strings.Repeat("l", 63))
		c.Spec.Secret.Annotations[key] = v1alpha1.AnnotationValue(strings.Repeat("a", 1024))
		c.Spec.Rollout.Targets = append(c.Spec.Rollout.Targets, v1alpha1.RolloutTarget{Kind: "Deployment", Name: fmt.Sprintf("%s-%02d", name, i)})
	}
	c.Spec.Secret.Template.Data = map[string]v1alpha1.TemplateText{"template": v1alpha1.TemplateText(strings.Repeat("{{ .SecurityToken }}", 400))}
	return c
}

// plainCredential is an StsCredential that is granted and gets its Secret.
func plainCredential(name string) *v1alpha1.StsCredential {
	return &v1alpha1.StsCredential{
		ObjectMeta: metav1.ObjectMeta{Namespace: hostileNamespace, Name: name},
		Spec:       v1alpha1.StsCredentialSpec{RoleARN: roles[0], Rollout: v1alpha1.RolloutSpec{Mode: v1alpha1.RolloutAuto}},
	}
}

// hostilePod reads every one of the Secrets into its environment. Nothing schedules it.
func hostilePod(name string, secrets []string) *corev1.Pod {
	container := corev1.Container{Name: "main", Image: "hostile"}
	for _, s := range secrets {
		container.EnvFrom = append(container.EnvFrom, corev1.EnvFromSource{SecretRef: &corev1.SecretEnvSource{
			LocalObjectReference: corev1.LocalObjectReference{Name: s}, Optional: ptr.To(true),
		}})
	}
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: hostileNamespace, Name: name},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{container}, AutomountServiceAccountToken: ptr.To(false)},
	}
}

func fillEnvironment(p *corev1.Pod, size int) {
	const each = 360 // bytes of an entry
	for i := range size / each {
		p.Spec.Containers[0].Env = append(p.Spec.Containers[0].Env, corev1.EnvVar{
			Name: fmt.Sprintf("E%d", i),
			ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{
				LocalObjectReference: corev1.LocalObjectReference{Name: fmt.Sprintf("%0250d", i)}, Key: "k", Optional: ptr.To(true),
			}},
		})
	}
}

// fillAnnotations adds annotations under the operator's prefix.
func fillAnnotations(m *metav1.ObjectMeta, size int) {
	const values = 28
	m.Annotations = map[string]string{}
	for i := range values {
		m.Annotations[fmt.Sprintf("%sa%d", ownPrefix, i)] = strings.Repeat("a", size/values)
	}
}

// fillRecord fills the annotations that the operator writes to Secrets.
func fillRecord(m *metav1.ObjectMeta, size int) {
	keys := []string{"credential", "issued-at", "request-id", "access-key-id", "managed-keys", "managed-labels", "managed-annotations", "replaced"}
	m.Annotations = map[string]string{}
	for _, key := range keys {
		m.Annotations[ownPrefix+key] = strings.Repeat("r,", size/len(keys)/2)
	}
}

// fillLabels adds labels under the operator's prefix.
func fillLabels(m *metav1.ObjectMeta, size int) {
	labels := map[string]string{}
	maps.Copy(labels, m.Labels)
	for i := range size / (len(ownPrefix) + 2*63) {
		labels[fmt.Sprintf("%s%063d", ownPrefix, i)] = strings.Repeat("l", 63)
	}
	m.Labels = labels
}

func fillOwner(m *metav1.ObjectMeta, size int) {
	m.OwnerReferences = []metav1.OwnerReference{{
		APIVersion: v1alpha1.GroupVersion.String(), Kind: "StsCredential", Name: strings.Repeat("o", size/2),
		UID: types.UID(strings.Repeat("u", size/2)), Controller: ptr.To(true),
	}}
}

func fillFinalizers(m *metav1.ObjectMeta, size int) {
	for i := range size / 80 {
		m.Finalizers = append(m.Finalizers, fmt.Sprintf("example.com/%063d", i))
	}
}

// fillManagedFields claims fields that do not exist. The version is the object's.
func fillManagedFields(version string) func(*metav1.ObjectMeta, int) {
	return func(m *metav1.ObjectMeta, size int) { claimFields(m, version, size) }
}

func claimFields(m *metav1.ObjectMeta, version string, size int) {
	annotations := map[string]any{}
	for i := range size / 80 {
		annotations[fmt.Sprintf("f:example.com/%054d", i)] = map[string]any{}
	}
	raw, err := json.Marshal(map[string]any{"f:metadata": map[string]any{"f:annotations": annotations}})
	if err != nil {
		panic(err) // it is made of strings alone
	}
	m.ManagedFields = []metav1.ManagedFieldsEntry{{
		Manager: "hostile", Operation: metav1.ManagedFieldsOperationApply, APIVersion: version,
		FieldsType: "FieldsV1", FieldsV1: metav1.NewFieldsV1(string(raw)),
	}}
}
