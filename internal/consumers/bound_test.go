// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package consumers

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
)

// maxCached is the bound in docs/security.md of a pod in the operator's cache, in bytes, maxCost of what it costs to read a
// pod. maxDuration is far more than that takes: reading a volume once for each mount takes longer.
const (
	maxCached, maxCost = 72 << 10, 2 << 20
	maxDuration        = 2 * time.Second
)

// longName is one of many names of Secrets, as long as they can be.
func longName(i int) string { return fmt.Sprintf("%0*d", maxName, i) }

// largePods are pods with as much of one kind as the API server takes.
func largePods() map[string]func(*corev1.Pod) {
	annotations := make([]string, 500)
	for i := range annotations {
		annotations[i] = longName(i) + "=" + strings.Repeat("x", 200)
	}
	return map[string]func(*corev1.Pod){
		"an annotation": func(p *corev1.Pod) {
			p.Annotations = map[string]string{restartedForAnnotation: strings.Join(annotations, ",")}
		},
		"an annotation without content": func(p *corev1.Pod) {
			p.Annotations = map[string]string{restartedForAnnotation: strings.Repeat("=,", 120_000)}
		},
		"a time": func(p *corev1.Pod) {
			p.Annotations = map[string]string{restartedAtAnnotation: strings.Repeat("x", 250_000)}
		},
		"variables": func(p *corev1.Pod) {
			for i := range 5_000 {
				p.Spec.Containers[0].Env = append(p.Spec.Containers[0].Env, corev1.EnvVar{Name: "x", ValueFrom: &corev1.EnvVarSource{
					SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: longName(i)}},
				}})
			}
		},
		"a volume with a long name": func(p *corev1.Pod) {
			p.Spec.Volumes = []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: strings.Repeat("x", 1<<20)}}}}
		},
		"files of volumes of many Secrets": func(p *corev1.Pod) {
			sources := make([]corev1.VolumeProjection, 20_000)
			for i := range sources {
				sources[i].Secret = &corev1.SecretProjection{LocalObjectReference: corev1.LocalObjectReference{Name: fmt.Sprint(i % 64)}}
			}
			p.Spec.Volumes = []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: sources}}}}
			for i := range 15_000 {
				p.Spec.Containers[0].VolumeMounts = append(p.Spec.Containers[0].VolumeMounts, corev1.VolumeMount{Name: "v", MountPath: fmt.Sprint("/", i), SubPath: "x"})
			}
		},
		"files of a volume of other sources": func(p *corev1.Pod) {
			sources := make([]corev1.VolumeProjection, 40_000)
			for i := range sources {
				sources[i].ConfigMap = &corev1.ConfigMapProjection{LocalObjectReference: corev1.LocalObjectReference{Name: "x"}}
			}
			p.Spec.Volumes = []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: sources}}}}
			for i := range 25_000 {
				p.Spec.Containers[0].VolumeMounts = append(p.Spec.Containers[0].VolumeMounts, corev1.VolumeMount{Name: "v", MountPath: fmt.Sprint("/", i), SubPath: "x"})
			}
		},
		"containers that prepare it": func(p *corev1.Pod) {
			p.Spec.InitContainers = make([]corev1.Container, 20_000)
			p.Status.InitContainerStatuses = make([]corev1.ContainerStatus, 5_000)
			for i := range p.Spec.InitContainers {
				p.Spec.InitContainers[i].Name = fmt.Sprint("c-", i)
			}
		},
		"an owner with a long name": func(p *corev1.Pod) {
			p.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "StatefulSet", Name: strings.Repeat("x", 1<<20), Controller: ptr.To(true)}}
		},
		"a label with a long name, beside variables": func(p *corev1.Pod) {
			p.Labels = map[string]string{v1alpha1.LabelAgent: strings.Repeat("x", 1<<20)}
			p.Spec.InitContainers = []corev1.Container{{Name: v1alpha1.AgentContainer}}
			for i := range maxReads {
				p.Spec.Containers[0].EnvFrom = append(p.Spec.Containers[0].EnvFrom, corev1.EnvFromSource{
					SecretRef: &corev1.SecretEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: longName(i)}},
				})
			}
		},
		"a label beside variables": func(p *corev1.Pod) {
			p.Labels = map[string]string{v1alpha1.LabelAgent: "orders"}
			p.Spec.InitContainers = []corev1.Container{{Name: v1alpha1.AgentContainer}}
			for i := range maxReads {
				p.Spec.Containers[0].EnvFrom = append(p.Spec.Containers[0].EnvFrom, corev1.EnvFromSource{
					SecretRef: &corev1.SecretEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: longName(i)}},
				})
			}
		},
		"labels": func(p *corev1.Pod) {
			p.Labels = map[string]string{}
			for i := range 10_000 {
				p.Labels[longName(i)] = "x"
			}
		},
	}
}

// The size of a pod in the cache, and the cost of reading it, are bounded, whatever a user writes into it.
func TestStrippedPodIsBounded(t *testing.T) {
	for name, change := range largePods() {
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "orders"}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "main"}}}}
		change(pod)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		start := time.Now()
		stripped, err := Strip(pod)
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took > maxDuration {
			t.Errorf("%s: reading it took %s, want at most %s", name, took, maxDuration)
		}
		kept := PodOf(stripped.(*corev1.Pod))
		runtime.ReadMemStats(&after)
		if size := stripped.(*corev1.Pod).Size(); size > maxCached {
			t.Errorf("%s: the cache holds %d bytes, want at most %d", name, size, maxCached)
		}
		if len(kept.Reads) > maxReads || len(kept.Restarted.For) > maxReads {
			t.Errorf("%s: %d reads and %d annotations", name, len(kept.Reads), len(kept.Restarted.For))
		}
		if cost := after.TotalAlloc - before.TotalAlloc; cost > maxCost {
			t.Errorf("%s: %d bytes were allocated, want at most %d", name, cost, maxCost)
		}
		if held := heldBy(&pod.Spec); len(held) > maxReads {
			t.Errorf("%s: its template holds %d Secrets", name, len(held))
		}
	}
}

// Of a pod that reads more than is kept, the first are kept, and the ways in which they are read.
func TestFirstReadsAreKept(t *testing.T) {
	pod := &corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "main"}}}}
	for i := range 2 * maxReads {
		pod.Spec.Containers[0].EnvFrom = append(pod.Spec.Containers[0].EnvFrom, corev1.EnvFromSource{
			SecretRef: &corev1.SecretEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: longName(i)}},
		})
	}
	pod.Spec.Containers = append(pod.Spec.Containers, corev1.Container{Name: "other", Env: []corev1.EnvVar{{Name: "x", ValueFrom: &corev1.EnvVarSource{
		SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: longName(0)}},
	}}}})
	all := readsOf(pod)
	if len(all) != maxReads || all[longName(0)].How != EnvFrom|Env || all[longName(maxReads-1)].How != EnvFrom {
		t.Errorf("%d reads, of the first %v, of the last %v", len(all), all[longName(0)], all[longName(maxReads-1)])
	}
	if held := heldBy(&pod.Spec); len(held) != maxReads || !slices.Contains(held, longName(0)) {
		t.Errorf("%d Secrets are held", len(held))
	}
}
