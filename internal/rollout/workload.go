// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package rollout

import (
	"fmt"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
)

// Workload names what pods are made by, within a namespace.
type Workload struct{ Kind, Name string }

func (w Workload) String() string { return w.Kind + " " + w.Name }

// kinds are the workloads that can be restarted through their pod template.
var kinds = map[string]schema.GroupVersion{
	"Deployment":  appsv1.SchemeGroupVersion,
	"StatefulSet": appsv1.SchemeGroupVersion,
	"DaemonSet":   appsv1.SchemeGroupVersion,
	"Rollout":     {Group: "argoproj.io", Version: "v1alpha1"},
	"CloneSet":    {Group: "apps.kruise.io", Version: "v1alpha1"},
}

// templateHashes are the labels that tell whose ReplicaSet a pod's is: its name is the workload's and the label's value.
var templateHashes = map[string]string{
	appsv1.DefaultDeploymentUniqueLabelKey: "Deployment",
	"rollouts-pod-template-hash":           "Rollout",
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
	if owner == nil {
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
	// Holds are the Secrets that its pods read in a way that never refreshes, by its template.
	Holds []string
	// Stamp on its template.
	Stamp Stamp
	// Ending: it is being deleted.
	Ending bool
	// Obstacle is the reason why a stamp would restart nothing, with a sentence that says what to do; empty if it would.
	Obstacle, Message string
}

// StateOf reads a workload.
func StateOf(o *unstructured.Unstructured) (State, error) {
	content, _, err := unstructured.NestedMap(o.Object, "spec", "template")
	if err != nil {
		return State{}, err
	}
	var template corev1.PodTemplateSpec
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(content, &template); err != nil {
		return State{}, fmt.Errorf("the pod template cannot be read: %w", err)
	}
	state := State{Holds: HeldBy(&template.Spec), Stamp: parseStamp(template.Annotations), Ending: o.GetDeletionTimestamp() != nil}
	state.Obstacle, state.Message = obstacle(o)
	return state, nil
}

// obstacle finds why a changed annotation of the template replaces no pod.
func obstacle(o *unstructured.Unstructured) (reason, message string) {
	strategy, _, _ := unstructured.NestedString(o.Object, "spec", "updateStrategy", "type")
	_, elsewhere, _ := unstructured.NestedMap(o.Object, "spec", "workloadRef")
	name := o.GetKind() + " " + o.GetName()
	switch {
	case flag(o, "spec", "paused"), flag(o, "spec", "updateStrategy", "paused"):
		return v1alpha1.ReasonWorkloadPaused, name + " is paused, so its pods are not replaced: resume it"
	case strategy == "OnDelete":
		return v1alpha1.ReasonStrategyUnsuited, name + " replaces pods only when they are deleted (updateStrategy OnDelete): choose RollingUpdate, or delete them"
	case strings.HasPrefix(strategy, "InPlace"):
		return v1alpha1.ReasonStrategyUnsuited, name + " updates annotations in place and restarts nothing (updateStrategy " + strategy + "): choose ReCreate, or restart its pods"
	case elsewhere:
		return v1alpha1.ReasonStrategyUnsuited, name + " takes its pod template from another object (workloadRef): restart its pods, or give it a template of its own"
	}
	return "", ""
}

func flag(o *unstructured.Unstructured, path ...string) bool {
	set, _, _ := unstructured.NestedBool(o.Object, path...)
	return set
}
