// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package rollout

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	// strippedKind marks a stripped pod: the API server sends none of this kind, so that nobody can forge it.
	strippedKind = "StrippedPod"
	// readsAnnotation is where a stripped pod keeps what it reads: "<secret> <How> <Unix seconds>", joined by commas.
	readsAnnotation = "reads"
)

// Pod is what is known of a pod. Times are by the clocks of the nodes and of the API server.
type Pod struct {
	Name string
	// Workload that the pod belongs to; zero if it is of no kind that can be restarted.
	Workload Workload
	// Created and Started: when the pod was made, and when a kubelet took it up (zero before).
	Created, Started time.Time
	// Ending: the pod is being deleted.
	Ending bool
	// Reads are the Secrets that it reads, by name.
	Reads map[string]Read
	// Stamp that its template carried when it was made.
	Stamp Stamp
}

// Read is how a pod reads a Secret. Since is when the first of the containers that hold it for good started; zero if none
// has, or if all follow the Secret.
type Read struct {
	How   How
	Since time.Time
}

// Strip is a cache transform: it keeps of a pod what PodOf returns. Other objects pass, as does what was stripped before.
func Strip(object any) (any, error) {
	pod, ok := object.(*corev1.Pod)
	if !ok || pod.Kind == strippedKind {
		return object, nil
	}
	kept := &corev1.Pod{
		TypeMeta: metav1.TypeMeta{Kind: strippedKind},
		ObjectMeta: metav1.ObjectMeta{
			Namespace: pod.Namespace, Name: pod.Name, ResourceVersion: pod.ResourceVersion,
			CreationTimestamp: pod.CreationTimestamp, DeletionTimestamp: pod.DeletionTimestamp,
		},
		Status: corev1.PodStatus{StartTime: pod.Status.StartTime},
	}
	if w := workloadOf(pod); w != (Workload{}) {
		kept.OwnerReferences = []metav1.OwnerReference{{Kind: w.Kind, Name: w.Name}}
	}
	for annotation, value := range map[string]string{
		readsAnnotation: encode(readsOf(pod)),
		stampAnnotation: pod.Annotations[stampAnnotation], restartedAtAnnotation: pod.Annotations[restartedAtAnnotation],
	} {
		if value != "" {
			metav1.SetMetaDataAnnotation(&kept.ObjectMeta, annotation, value)
		}
	}
	return kept, nil
}

// PodOf reads a stripped pod.
func PodOf(stripped *corev1.Pod) Pod {
	pod := Pod{
		Name: stripped.Name, Created: stripped.CreationTimestamp.Time, Ending: stripped.DeletionTimestamp != nil,
		Reads: decode(stripped.Annotations[readsAnnotation]), Stamp: parseStamp(stripped.Annotations),
	}
	if stripped.Status.StartTime != nil {
		pod.Started = stripped.Status.StartTime.Time
	}
	if len(stripped.OwnerReferences) == 1 {
		pod.Workload = Workload{Kind: stripped.OwnerReferences[0].Kind, Name: stripped.OwnerReferences[0].Name}
	}
	return pod
}

// Same reports whether two stripped pods say the same.
func Same(a, b *corev1.Pod) bool {
	return maps.Equal(a.Annotations, b.Annotations) && slices.Equal(a.OwnerReferences, b.OwnerReferences) &&
		a.Status.StartTime.Equal(b.Status.StartTime) && (a.DeletionTimestamp == nil) == (b.DeletionTimestamp == nil)
}

func encode(all map[string]Read) string {
	entries := make([]string, 0, len(all))
	for _, name := range slices.Sorted(maps.Keys(all)) {
		since := int64(0)
		if r := all[name]; !r.Since.IsZero() {
			since = r.Since.Unix()
		}
		entries = append(entries, fmt.Sprintf("%s %d %d", name, all[name].How, since))
	}
	return strings.Join(entries, ",")
}

func decode(encoded string) map[string]Read {
	all := map[string]Read{}
	for entry := range strings.SplitSeq(encoded, ",") {
		fields := strings.Fields(entry)
		if len(fields) != 3 {
			continue
		}
		how, _ := strconv.ParseUint(fields[1], 10, 8)
		since, _ := strconv.ParseInt(fields[2], 10, 64)
		r := Read{How: How(how)}
		if since != 0 {
			r.Since = time.Unix(since, 0)
		}
		all[fields[0]] = r
	}
	return all
}

// readsOf is what a whole pod reads; nothing once it has ended.
func readsOf(pod *corev1.Pod) map[string]Read {
	if pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed {
		return nil
	}
	started, all := starts(pod), map[string]Read{}
	for r := range reads(&pod.Spec) {
		known := all[r.secret]
		known.How |= r.how
		since := started[r.container]
		if r.how == SubPath && !since.IsZero() && pod.Status.StartTime != nil {
			// What the volume held when the container started is not known: it follows the Secret with a delay.
			since = pod.Status.StartTime.Time
		}
		if !since.IsZero() && (known.Since.IsZero() || since.Before(known.Since)) {
			known.Since = since
		}
		all[r.secret] = known
	}
	return all
}

// starts says when containers started: those that run, and those that ran to prepare a pod, since what they read may
// live on in what they prepared. A container that waits to be started, again or at all, will read what there is then;
// one that has ended for good holds nothing.
func starts(pod *corev1.Pod) map[string]time.Time {
	all := map[string]time.Time{}
	for _, s := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses, pod.Status.EphemeralContainerStatuses) {
		if s.State.Running != nil {
			all[s.Name] = s.State.Running.StartedAt.Time
		}
	}
	for _, c := range pod.Spec.InitContainers {
		if c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			continue
		}
		i := slices.IndexFunc(pod.Status.InitContainerStatuses, func(s corev1.ContainerStatus) bool { return s.Name == c.Name })
		if i >= 0 && pod.Status.InitContainerStatuses[i].State.Terminated != nil {
			all[c.Name] = pod.Status.InitContainerStatuses[i].State.Terminated.StartedAt.Time
		}
	}
	return all
}
