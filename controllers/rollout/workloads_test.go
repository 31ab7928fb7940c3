// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package rollout

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/internal/consumers"
)

// Ways for a pod to read a Secret.
func byEnvFrom(secret string) corev1.PodSpec {
	return corev1.PodSpec{Containers: []corev1.Container{{
		Name: "main", Image: "none", EnvFrom: []corev1.EnvFromSource{{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: secret}}}},
	}}}
}

func byVolume(secret string) corev1.PodSpec {
	return corev1.PodSpec{
		Volumes:    []corev1.Volume{{Name: "sts", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: secret}}}},
		Containers: []corev1.Container{{Name: "main", Image: "none", VolumeMounts: []corev1.VolumeMount{{Name: "sts", MountPath: "/sts"}}}},
	}
}

func bySubPath(secret string) corev1.PodSpec {
	spec := byVolume(secret)
	spec.Containers[0].VolumeMounts[0].SubPath = "ALIBABA_CLOUD_ACCESS_KEY_ID"
	return spec
}

func byBoth(one, other string) corev1.PodSpec {
	spec := byEnvFrom(one)
	spec.Containers[0].EnvFrom = append(spec.Containers[0].EnvFrom, byEnvFrom(other).Containers[0].EnvFrom...)
	return spec
}

// createDeployment creates a Deployment. Only the test creates its pods.
func (env *environment) createDeployment(name string, spec corev1.PodSpec) *appsv1.Deployment {
	env.Helper()
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: env.Namespace, Name: name}, Spec: appsv1.DeploymentSpec{
		Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": name}},
		Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": name}}, Spec: spec},
	}}
	env.Must(api.Create(env.Context(), d))
	return d
}

// createPodOf is a pod of the Deployment, by a ReplicaSet of this hash, that runs since now. It carries what the template does.
func (env *environment) createPodOf(d *appsv1.Deployment, hash string) *corev1.Pod {
	env.Helper()
	env.Must(api.Get(env.Context(), client.ObjectKeyFromObject(d), d))
	labels := map[string]string{"app": d.Name, appsv1.DefaultDeploymentUniqueLabelKey: hash}
	set := &appsv1.ReplicaSet{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: env.Namespace, Name: d.Name + "-" + hash,
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(d, appsv1.SchemeGroupVersion.WithKind("Deployment"))},
		},
		Spec: appsv1.ReplicaSetSpec{
			Replicas: ptr.To[int32](0), Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: d.Spec.Template.Spec},
		},
	}
	env.Must(api.Create(env.Context(), set))
	return env.createPod(d.Name+"-"+hash+"-x", labels, d.Spec.Template, metav1.NewControllerRef(set, appsv1.SchemeGroupVersion.WithKind("ReplicaSet")))
}

// createStatefulSet creates a StatefulSet and its only pod, which runs since now.
func (env *environment) createStatefulSet(name string, spec corev1.PodSpec) (*appsv1.StatefulSet, *corev1.Pod) {
	env.Helper()
	s := &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Namespace: env.Namespace, Name: name}, Spec: appsv1.StatefulSetSpec{
		Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": name}},
		Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": name}}, Spec: spec},
	}}
	env.Must(api.Create(env.Context(), s))
	return s, env.createPod(name+"-0", map[string]string{"app": name}, s.Spec.Template, metav1.NewControllerRef(s, appsv1.SchemeGroupVersion.WithKind("StatefulSet")))
}

// createPod creates a pod that runs since now, with an owner or without.
func (env *environment) createPod(name string, labels map[string]string, template corev1.PodTemplateSpec, owner *metav1.OwnerReference) *corev1.Pod {
	env.Helper()
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: env.Namespace, Name: name, Labels: labels, Annotations: template.Annotations}, Spec: template.Spec}
	if owner != nil {
		pod.OwnerReferences = []metav1.OwnerReference{*owner}
	}
	env.Must(client.IgnoreAlreadyExists(api.Create(env.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: env.Namespace, Name: "default"}})))
	env.Must(api.Create(env.Context(), pod))
	now, scheduled := metav1.NewTime(env.OperatorClock.Now().Add(env.nodeSkew)), metav1.NewTime(env.OperatorClock.Now().Add(env.apiSkew))
	pod.Status = corev1.PodStatus{
		Phase: corev1.PodRunning, StartTime: &now,
		Conditions: []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionTrue, LastTransitionTime: scheduled}},
		ContainerStatuses: []corev1.ContainerStatus{
			{Name: "main", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: now}}},
		},
	}
	env.Must(api.Status().Update(env.Context(), pod))
	env.Eventually("the cache shows the pod", func(ctx context.Context) bool {
		shown := &corev1.Pod{}
		return cached.Get(ctx, client.ObjectKeyFromObject(pod), shown) == nil && !consumers.PodOf(shown).Started.IsZero()
	})
	return pod
}

// deletePod deletes a pod for good.
func (env *environment) deletePod(pod *corev1.Pod) {
	env.Helper()
	env.Must(api.Delete(env.Context(), pod, client.GracePeriodSeconds(0)))
	env.Eventually("the cache shows that the pod is gone", func(ctx context.Context) bool {
		return client.IgnoreNotFound(cached.Get(ctx, client.ObjectKeyFromObject(pod), &corev1.Pod{})) == nil &&
			cached.Get(ctx, client.ObjectKeyFromObject(pod), &corev1.Pod{}) != nil
	})
}

// restartAnnotations reads what a workload was restarted for, by StsCredential.
func (env *environment) restartAnnotations(kind, name string) map[string]string {
	env.Helper()
	object := consumers.Workload{Kind: kind, Name: name}.Object(env.Namespace)
	env.Must(api.Get(env.Context(), client.ObjectKeyFromObject(object), object))
	state, err := consumers.StateOf(object)
	env.Must(err)
	return state.Restarted.For
}

// wantRestartAnnotations requires what a workload was restarted for.
func (env *environment) wantRestartAnnotations(kind, name string, want map[string]string) {
	env.Helper()
	if got := env.restartAnnotations(kind, name); fmt.Sprint(got) != fmt.Sprint(want) {
		env.Errorf("%s %s has the restart annotations %v, want %v", kind, name, got, want)
	}
}
