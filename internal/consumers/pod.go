// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package consumers

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
)

const (
	// strippedKind marks a stripped pod: the API server sends none of this kind, so that nobody can forge it.
	strippedKind = "StrippedPod"
	// readsAnnotation is where a stripped pod keeps what it reads: "<Secret> <ways> <since> <ran>", joined by commas. Names
	// hold neither spaces nor commas, times are Unix seconds.
	readsAnnotation = "reads"
	// endsAnnotation is where a stripped pod keeps that it ends by itself: the Unix second of its deadline, 0 if it has none.
	endsAnnotation = "ends"
)

// Pod is what is known of a pod. All times are by the API server's clock, see apiClock.
type Pod struct {
	Name string
	// Workload that the pod belongs to; zero if it is of no kind that can be restarted.
	Workload Workload
	// Created is when the pod was scheduled. Started is the same time when the kubelet has accepted the pod, and zero before.
	Created, Started time.Time
	// Terminating: the pod is being deleted.
	Terminating bool
	// Ends: the pod ends by itself, as a Job's does. Deadline is when it ends at the latest; zero if it has none.
	Ends     bool
	Deadline time.Time
	// Reads are the Secrets that it reads, by name.
	Reads map[string]Read
	// Restarted is the restart annotation that its template carried when it was made.
	Restarted RestartAnnotation
}

// Read is how a pod reads a Secret.
type Read struct {
	How How
	// Optional: a container may have started without the Secret.
	Optional bool
	// Since is when the first of the containers that hold the Secret for good started, or the volume that they hold a file
	// of; zero if none has, or if all follow the Secret.
	Since time.Time
	// Ran is when the first of the containers that read the Secret, in whatever way, started; zero if none has.
	Ran time.Time
}

// Strip is a cache transform: it keeps of a pod what PodOf returns, within bounds. Other objects pass, as does what was stripped before.
func Strip(object any) (any, error) {
	pod, ok := object.(*corev1.Pod)
	if !ok || pod.Kind == strippedKind {
		return object, nil
	}
	kept := &corev1.Pod{
		TypeMeta: metav1.TypeMeta{Kind: strippedKind},
		ObjectMeta: metav1.ObjectMeta{
			Namespace: pod.Namespace, Name: pod.Name, ResourceVersion: pod.ResourceVersion,
			DeletionTimestamp: pod.DeletionTimestamp,
		},
	}
	kept.CreationTimestamp = metav1.NewTime(scheduledAt(pod))
	if pod.Status.StartTime != nil {
		kept.Status.StartTime = &kept.CreationTimestamp
	}
	if w := workloadOf(pod); w != (Workload{}) {
		kept.OwnerReferences = []metav1.OwnerReference{{Kind: w.Kind, Name: w.Name}}
	}
	for annotation, value := range map[string]string{
		readsAnnotation: encode(readsOf(pod)), endsAnnotation: endOf(pod),
		restartedForAnnotation: within(maxRestartedForBytes, pod.Annotations[restartedForAnnotation]),
		restartedAtAnnotation:  within(maxTime, pod.Annotations[restartedAtAnnotation]),
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
		Name: stripped.Name, Created: stripped.CreationTimestamp.Time, Terminating: stripped.DeletionTimestamp != nil,
		Reads: decode(stripped.Annotations[readsAnnotation]), Restarted: parseRestartAnnotation(stripped.Annotations),
	}
	if stripped.Status.StartTime != nil {
		pod.Started = stripped.Status.StartTime.Time
	}
	if deadline, ends := stripped.Annotations[endsAnnotation]; ends {
		pod.Ends, pod.Deadline = true, parseUnix(deadline)
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

// optionalBit marks, among the ways of an encoded read, that it is optional.
const optionalBit = 1 << 7

func encode(all map[string]Read) string {
	entries := make([]string, 0, len(all))
	for _, name := range slices.Sorted(maps.Keys(all)) {
		r := all[name]
		ways := uint8(r.How)
		if r.Optional {
			ways |= optionalBit
		}
		entries = append(entries, fmt.Sprintf("%s %d %s %s", name, ways, unix(r.Since), unix(r.Ran)))
	}
	return strings.Join(entries, ",")
}

func decode(encoded string) map[string]Read {
	all := map[string]Read{}
	for entry := range strings.SplitSeq(encoded, ",") {
		fields := strings.Fields(entry)
		if len(fields) != 4 {
			continue
		}
		parsed, _ := strconv.ParseUint(fields[1], 10, 8)
		ways := uint8(parsed)
		all[fields[0]] = Read{
			How: How(ways &^ optionalBit), Optional: ways&optionalBit != 0, Since: parseUnix(fields[2]), Ran: parseUnix(fields[3]),
		}
	}
	return all
}

// unix is a time in Unix seconds; "0" for none.
func unix(t time.Time) string {
	if t.IsZero() {
		return "0"
	}
	return strconv.FormatInt(t.Unix(), 10)
}

func parseUnix(seconds string) time.Time {
	parsed, _ := strconv.ParseInt(seconds, 10, 64)
	if parsed == 0 {
		return time.Time{}
	}
	return time.Unix(parsed, 0)
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

// endOf returns the encoded deadline of a pod that terminates by itself, by its restartPolicy or its deadline; empty for
// others.
func endOf(pod *corev1.Pod) string {
	switch policy, deadline := pod.Spec.RestartPolicy, pod.Spec.ActiveDeadlineSeconds; {
	case deadline != nil:
		return unix(scheduledAt(pod).Add(time.Duration(*deadline) * time.Second))
	case policy == corev1.RestartPolicyNever, policy == corev1.RestartPolicyOnFailure:
		return unix(time.Time{})
	}
	return ""
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
