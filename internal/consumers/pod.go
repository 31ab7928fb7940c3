// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package consumers

import (
	"encoding/json"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
)

// strippedKind marks a stripped pod: the API server sends none of this kind, so that nobody can forge it.
const strippedKind = "StrippedPod"

// Pod is what is known of a pod. All times are by the API server's clock, see apiClock. In a stripped pod, the message of the
// status is its JSON; what the other fields hold is left out.
type Pod struct {
	Name string `json:"-"`
	// Workload that the pod belongs to; zero if it is of no kind that can be restarted.
	Workload Workload `json:",omitzero"`
	// Created is when the pod was scheduled. Started is the same time when the kubelet has accepted the pod, and zero before.
	Created, Started time.Time `json:",omitzero"`
	// Terminating: the pod is being deleted.
	Terminating bool `json:"-"`
	// Ends: the pod terminates by itself, as a Job's does. Deadline is when it does at the latest; zero if it has none.
	Ends     bool      `json:",omitzero"`
	Deadline time.Time `json:",omitzero"`
	// Reads are the Secrets that it reads, by name.
	Reads map[string]Read `json:",omitzero"`
	// Restarted is the restart annotation that its template had when it was created.
	Restarted RestartAnnotation `json:"-"`
}

// Read is how a pod reads a Secret.
type Read struct {
	How How
	// Optional: a container may have started without the Secret.
	Optional bool `json:",omitzero"`
	// Since is when the first of the containers started that read the Secret in a way that never refreshes or, for a subPath, when
	// the pod was scheduled; zero if none has.
	Since time.Time `json:",omitzero"`
	// Ran is when the first of the containers that read the Secret, in whatever way, started; zero if none has.
	Ran time.Time `json:",omitzero"`
}

// Strip is a cache transform: it keeps of a pod what PodOf returns, within bounds. Other objects are not changed, nor are stripped
// pods.
func Strip(object any) (any, error) {
	pod, ok := object.(*corev1.Pod)
	if !ok || pod.Kind == strippedKind {
		return object, nil
	}
	stripped := &corev1.Pod{
		TypeMeta: metav1.TypeMeta{Kind: strippedKind},
		ObjectMeta: metav1.ObjectMeta{
			Namespace: pod.Namespace, Name: pod.Name, ResourceVersion: pod.ResourceVersion,
			DeletionTimestamp: pod.DeletionTimestamp,
		},
	}
	for annotation, bound := range map[string]int{restartedForAnnotation: maxRestartedForBytes, restartedAtAnnotation: maxTime} {
		if value := within(bound, pod.Annotations[annotation]); value != "" {
			metav1.SetMetaDataAnnotation(&stripped.ObjectMeta, annotation, value)
		}
	}
	known := Pod{Workload: workloadOf(pod), Created: scheduledAt(pod), Reads: readsOf(pod)}
	if pod.Status.StartTime != nil {
		known.Started = known.Created
	}
	known.Ends, known.Deadline = endOf(pod)
	// It fails only for a time that JSON cannot have, which no clock shows: nothing is known of such a pod.
	encoded, _ := json.Marshal(known)
	stripped.Status.Message = string(encoded)
	return stripped, nil
}

// PodOf reads a stripped pod.
func PodOf(stripped *corev1.Pod) (pod Pod) {
	_ = json.Unmarshal([]byte(stripped.Status.Message), &pod) // it is of Strip, or empty
	pod.Name, pod.Terminating, pod.Restarted = stripped.Name, stripped.DeletionTimestamp != nil, parseRestartAnnotation(stripped.Annotations)
	return pod
}

// Same reports whether two stripped pods are equal in what PodOf returns.
func Same(a, b *corev1.Pod) bool {
	return a.Status.Message == b.Status.Message && maps.Equal(a.Annotations, b.Annotations) && (a.DeletionTimestamp == nil) == (b.DeletionTimestamp == nil)
}

// scheduledAt is when a pod was given to a node, by the API server's clock; when it was created where that is not known.
// The API server writes both.
func scheduledAt(pod *corev1.Pod) time.Time {
	at := pod.CreationTimestamp.Time
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionTrue && c.LastTransitionTime.After(at) {
			at = c.LastTransitionTime.Time
		}
	}
	return at
}

// apiClock returns a function that converts a time of the node's clock to the API server's clock. The kubelet accepts a pod
// (status.startTime, by the node's clock) shortly after it is scheduled (by the API server's clock). So the time between the
// two starts, by the node's clock, is added to the time of scheduling. A constant error of the node's clock does not matter.
// If the kubelet accepted the pod late, the result is too early.
func apiClock(pod *corev1.Pod) func(nodeTime time.Time) time.Time {
	scheduled := scheduledAt(pod)
	return func(nodeTime time.Time) time.Time {
		if nodeTime.IsZero() || pod.Status.StartTime == nil {
			return scheduled
		}
		return scheduled.Add(max(0, nodeTime.Sub(pod.Status.StartTime.Time)))
	}
}

// endOf reports whether a pod terminates by itself, by its restartPolicy or its deadline, and returns its deadline.
func endOf(pod *corev1.Pod) (ends bool, deadline time.Time) {
	if seconds := pod.Spec.ActiveDeadlineSeconds; seconds != nil {
		return true, scheduledAt(pod).Add(time.Duration(*seconds) * time.Second)
	}
	policy := pod.Spec.RestartPolicy
	return policy == corev1.RestartPolicyNever || policy == corev1.RestartPolicyOnFailure, time.Time{}
}

// earliest of two times; zero is none.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// readsOf returns the Secrets that a pod, not stripped, reads; nil if the pod has terminated.
func readsOf(pod *corev1.Pod) map[string]Read {
	if pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed {
		return nil
	}
	started, all := starts(pod), map[string]Read{}
	if served := pod.Labels[v1alpha1.LabelAgent]; isName(served) && hasAgent(&pod.Spec) {
		all[served] = Read{How: Agent}
	}
	first := time.Time{}
	for _, at := range started {
		first = earliest(first, at)
	}
	for _, r := range reads(&pod.Spec) {
		known, found := all[r.secret]
		if !found && len(all) == maxReads {
			continue
		}
		known.How |= r.how
		known.Optional = known.Optional || r.optional
		since := started[r.container]
		known.Ran = earliest(known.Ran, since)
		switch {
		case r.how == Volume:
			known.Ran = earliest(known.Ran, first)
		case r.how == SubPath && !since.IsZero():
			// What the volume held when the container started is not known: it follows the Secret with a delay.
			known.Since = earliest(known.Since, scheduledAt(pod))
		default:
			known.Since = earliest(known.Since, since)
		}
		all[r.secret] = known
	}
	return all
}

// hasAgent reports whether the pod has the agent. The label alone does not prove it: the injection may not select the namespace, or
// may have been enabled after the pod was created.
func hasAgent(spec *corev1.PodSpec) bool {
	return slices.ContainsFunc(spec.InitContainers, func(c corev1.Container) bool { return c.Name == v1alpha1.AgentContainer })
}

// starts returns when containers started, by the API server's clock: running containers, and init containers that have ended. An
// init container may have written credentials to a volume, where they stay. A waiting container reads the Secret when it starts. A
// container that has ended for good holds no credentials.
func starts(pod *corev1.Pod) map[string]time.Time {
	all, onAPI := map[string]time.Time{}, apiClock(pod)
	for _, s := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses, pod.Status.EphemeralContainerStatuses) {
		if s.State.Running != nil {
			all[s.Name] = onAPI(s.State.Running.StartedAt.Time)
		}
	}
	ended := map[string]*corev1.ContainerStateTerminated{}
	for _, s := range pod.Status.InitContainerStatuses {
		ended[s.Name] = s.State.Terminated
	}
	for _, c := range pod.Spec.InitContainers {
		if c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			continue
		}
		if terminated := ended[c.Name]; terminated != nil {
			all[c.Name] = onAPI(terminated.StartedAt.Time)
		}
	}
	return all
}
