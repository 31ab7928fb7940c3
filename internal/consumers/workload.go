// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package consumers

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
)

// Workload is the workload that controls pods, within a namespace.
type Workload struct{ Kind, Name string }

func (w Workload) String() string { return w.Kind + " " + w.Name }

// rolloutKind is Argo's. It is restarted with spec.restartAt: a changed template would begin a canary or blue-green update.
const rolloutKind = "Rollout"

// maxClockError is how far a time that others wrote may lie ahead and still be taken for a clock that is wrong.
const maxClockError = 15 * time.Minute

// kinds are the workloads that can be restarted.
var kinds = map[string]schema.GroupVersion{
	"Deployment":  appsv1.SchemeGroupVersion,
	"StatefulSet": appsv1.SchemeGroupVersion,
	"DaemonSet":   appsv1.SchemeGroupVersion,
	rolloutKind:   {Group: "argoproj.io", Version: "v1alpha1"},
	"CloneSet":    {Group: "apps.kruise.io", Version: "v1alpha1"},
}

// templateHashes are the pod labels that identify the owner of a ReplicaSet, whose name is <workload>-<value of the label>.
var templateHashes = map[string]string{
	appsv1.DefaultDeploymentUniqueLabelKey: "Deployment",
	"rollouts-pod-template-hash":           rolloutKind,
}

// Object is an empty object to read the workload into.
func (w Workload) Object(namespace string) *unstructured.Unstructured {
	o := &unstructured.Unstructured{}
	o.SetGroupVersionKind(kinds[w.Kind].WithKind(w.Kind))
	o.SetNamespace(namespace)
	o.SetName(w.Name)
	return o
}

// workloadOf a whole pod; zero if it is of no kind that can be restarted.
func workloadOf(pod *corev1.Pod) Workload {
	owner := metav1.GetControllerOfNoCopy(pod)
	if owner == nil || len(owner.Name) > maxName {
		return Workload{}
	}
	group, _, _ := strings.Cut(owner.APIVersion, "/")
	if group == appsv1.GroupName && owner.Kind == "ReplicaSet" {
		for label, kind := range templateHashes {
			if name, ok := strings.CutSuffix(owner.Name, "-"+pod.Labels[label]); ok && pod.Labels[label] != "" {
				return Workload{Kind: kind, Name: name}
			}
		}
	}
	if known, ok := kinds[owner.Kind]; ok && known.Group == group {
		return Workload{Kind: owner.Kind, Name: owner.Name}
	}
	return Workload{}
}

// State is what is known of a workload.
type State struct {
	// Holds are the Secrets that its pods read in a way that never refreshes, by its template. Elsewhere: the template is
	// another object's, and not known.
	Holds     []string
	Elsewhere bool
	// Restarted is the annotation that a restart left on its template or, of a Rollout, on itself.
	Restarted RestartAnnotation
	// RestartAt and RestartedAt of a Rollout: its pods are to be created after the one, and were after the other.
	RestartAt, RestartedAt time.Time
	// Terminating: it is being deleted.
	Terminating bool
	// Partition of a StatefulSet: its pods with a lower ordinal are not replaced.
	Partition int64
	// BlockedReason is the reason why a restart would replace nothing, with a sentence that says what to do; empty if it would.
	// With a sentence alone, a restart leaves some pods as they are.
	BlockedReason, Message string
}

// workloadFields are the fields of a workload of any kind that StateOf reads.
type workloadFields struct {
	Spec struct {
		Template       corev1.PodTemplateSpec `json:"template"`
		Paused         bool                   `json:"paused"`
		UpdateStrategy struct {
			Type          string             `json:"type"`
			Paused        bool               `json:"paused"`
			Partition     intstr.IntOrString `json:"partition"`
			RollingUpdate struct {
				Partition int64 `json:"partition"`
			} `json:"rollingUpdate"`
		} `json:"updateStrategy"`
		WorkloadRef *struct{}   `json:"workloadRef"`
		RestartAt   metav1.Time `json:"restartAt"`
	} `json:"spec"`
	Status struct {
		RestartedAt metav1.Time `json:"restartedAt"`
	} `json:"status"`
}

// StateOf reads a workload.
func StateOf(o *unstructured.Unstructured) (State, error) {
	var w workloadFields
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, &w); err != nil {
		return State{}, fmt.Errorf("the workload cannot be read: %w", err)
	}
	state := State{
		Holds: heldBy(&w.Spec.Template.Spec), Restarted: parseRestartAnnotation(w.Spec.Template.Annotations), Terminating: o.GetDeletionTimestamp() != nil,
	}
	if o.GetKind() == rolloutKind {
		state.Elsewhere = w.Spec.WorkloadRef != nil
		state.Restarted = parseRestartAnnotation(o.GetAnnotations())
		state.RestartAt, state.RestartedAt = w.Spec.RestartAt.Time, w.Status.RestartedAt.Time
		return state, nil
	}
	state.Partition = w.Spec.UpdateStrategy.RollingUpdate.Partition
	state.BlockedReason, state.Message = blockedReason(o.GetKind()+" "+o.GetName(), &w)
	return state, nil
}

// blockedReason returns why a changed annotation of the template replaces no pod, or leaves some.
func blockedReason(name string, w *workloadFields) (reason, message string) {
	strategy := w.Spec.UpdateStrategy
	partition := strategy.Partition.String()
	switch {
	case w.Spec.Paused, strategy.Paused:
		return v1alpha1.ReasonWorkloadPaused, name + " is paused, so its pods are not replaced. Resume it."
	case strategy.Type == "OnDelete":
		return v1alpha1.ReasonStrategyUnsuited, name + " replaces pods only when they are deleted (updateStrategy OnDelete). Choose RollingUpdate, or delete them."
	case strings.HasPrefix(strategy.Type, "InPlace"):
		return v1alpha1.ReasonStrategyUnsuited, name + " updates annotations in place and restarts nothing (updateStrategy " + strategy.Type + "). Choose ReCreate, or restart its pods."
	case partition == "0", partition == "0%":
		return "", ""
	}
	return "", fmt.Sprintf("%s does not replace all of its pods: partition is %.10s. Set spec.updateStrategy.partition to 0, or delete the pods.", name, partition)
}

// keepsPod reports whether the workload's strategy keeps a pod as it is.
func (s State) keepsPod(pod string) bool {
	if s.Partition <= 0 {
		return false
	}
	ordinal, err := strconv.ParseInt(pod[strings.LastIndex(pod, "-")+1:], 10, 64)
	return err == nil && ordinal < s.Partition
}

// restartAt is the time after which all pods that read the issuance are created, by the API server's clock. It follows from the
// issuance alone, so that asking for it twice restarts nothing twice.
func (i Issuance) restartAt() time.Time { return i.WrittenAt.Add(startDelay).Truncate(time.Second) }

// RestartPatch returns the JSON merge patch that restarts a workload for an issuance. It fails if the workload has changed
// since it was read.
func (w Workload) RestartPatch(issuance Issuance, annotation RestartAnnotation, state State, resourceVersion string) []byte {
	type object = map[string]any
	annotated := object{"metadata": object{"annotations": annotation.annotations()}}
	patch := object{"metadata": object{"resourceVersion": resourceVersion}, "spec": object{"template": annotated}}
	if w.Kind == rolloutKind {
		at := issuance.restartAt()
		if again := state.RestartAt.Add(time.Second); again.After(at) && !again.After(annotation.At.Add(maxClockError)) {
			at = again // it was restarted for this and did not replace all
		}
		patch = object{
			"metadata": object{"resourceVersion": resourceVersion, "annotations": annotation.annotations()},
			"spec":     object{"restartAt": at.UTC().Format(time.RFC3339)},
		}
	}
	raw, err := json.Marshal(patch)
	if err != nil {
		panic("consumers: a patch made of strings cannot be encoded: " + err.Error())
	}
	return raw
}

const (
	// maxRestartedForBytes bounds what is read and written of restarted-for, in bytes; what is longer is not the operator's.
	maxRestartedForBytes = 8 << 10
	// restartedForAnnotation on a pod template, or on a Rollout, says for which issuances its pods were started: "<StsCredential>=<request ID>",
	// joined by commas.
	restartedForAnnotation = "sts.alibabacloud.com/restarted-for"
	// restartedAtAnnotation beside it is when the operator restarted it last, by the operator's clock.
	restartedAtAnnotation = "sts.alibabacloud.com/restarted-at"
)

// Bounds of an ID and of a time in a restart annotation, in bytes.
const maxID, maxTime = 256, 64

// within returns a text that is no longer than a bound, and nothing for one that is.
func within(bound int, text string) string {
	if len(text) > bound {
		return ""
	}
	return text
}

// RestartAnnotation is what the operator writes to a workload to restart its pods.
type RestartAnnotation struct {
	// For are the IDs of the issuances that pods with this annotation have read or newer ones, by StsCredential.
	For map[string]string
	// At is when it was written, by the operator's clock; zero if that is not known.
	At time.Time
}

// ID is how an issuance is named in a restart annotation: by STS's request ID or, should there be none, by the AccessKeyId.
func ID(requestID, accessKeyID string) string {
	id := strings.Map(func(r rune) rune {
		if strings.ContainsRune(",= ", r) {
			return '-'
		}
		return r
	}, cmp.Or(requestID, accessKeyID))
	return id[:min(len(id), maxID)]
}

func parseRestartAnnotation(annotations map[string]string) RestartAnnotation {
	annotation := RestartAnnotation{For: map[string]string{}}
	for entry := range strings.SplitSeq(within(maxRestartedForBytes, annotations[restartedForAnnotation]), ",") {
		credential, id, ok := strings.Cut(entry, "=")
		if ok && len(credential) <= maxName && len(id) <= maxID && len(annotation.For) < maxReads {
			annotation.For[credential] = id
		}
	}
	annotation.At, _ = time.Parse(time.RFC3339, within(maxTime, annotations[restartedAtAnnotation]))
	return annotation
}

func (s RestartAnnotation) annotations() map[string]string {
	entries := make([]string, 0, len(s.For))
	for _, credential := range slices.Sorted(maps.Keys(s.For)) {
		entries = append(entries, credential+"="+s.For[credential])
	}
	return map[string]string{
		restartedForAnnotation: strings.Join(entries, ","),
		restartedAtAnnotation:  s.At.UTC().Format(time.RFC3339),
	}
}
