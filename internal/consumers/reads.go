// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package consumers finds out how pods read a Secret, which of them hold what it held before, and how and when workloads
// are restarted. It is pure: it talks to nobody.
package consumers

import (
	"iter"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"
)

// How a pod reads a Secret. Several ways at once add up.
type How uint8

// The ways. What is read through the first three never changes in a running container.
const (
	Env How = 1 << iota
	EnvFrom
	SubPath
	Volume
	// Agent: the agent serves it in the pod, by the pod's label v1alpha1.LabelAgent.
	Agent
)

// Refreshes reports whether all that is read this way follows the Secret without a restart.
func (h How) Refreshes() bool { return h&(Env|EnvFrom|SubPath) == 0 }

// HeldBy are the names of the Secrets that pods of a template read in a way that never refreshes.
func HeldBy(template *corev1.PodSpec) (names []string) {
	for r := range reads(template) {
		if !r.how.Refreshes() && !slices.Contains(names, r.secret) {
			names = append(names, r.secret)
		}
	}
	return names
}

// read is one place in a pod's spec that reads a Secret. container is empty for a volume, which is the whole pod's.
// Containers start without the Secret where the place is optional.
type read struct {
	container, secret string
	how               How
	optional          bool
}

// reference is a Secret in a volume.
type reference struct {
	secret   string
	optional bool
}

// maxName is the longest name that a Secret can have, in bytes.
const maxName = 253

// isName reports whether a Secret can have this name. The API server takes any text for the name in a volume; what is
// not a name reads nothing, and must not look like a name where names are joined.
func isName(text string) bool {
	return text != "" && len(text) <= maxName && strings.Trim(text, "abcdefghijklmnopqrstuvwxyz0123456789.-") == ""
}

// MaxReads bounds the Secrets of which it is known that a pod reads them, maxPlaces the places that are looked at: the pod
// of a tenant may name Secrets in tens of thousands. The volumes come first, then the containers, in their order.
const MaxReads, maxPlaces = 64, 4096

// reads visits each place in a pod's spec that reads a Secret: in containers of all kinds, optional or not. Volumes count
// mounted or not. What pulls images is the node's.
func reads(spec *corev1.PodSpec) iter.Seq[read] {
	return func(yield func(read) bool) {
		names, places := map[string]bool{}, 0
		for r := range allReads(spec) {
			if places++; places > maxPlaces {
				return
			}
			if !names[r.secret] && (len(names) == MaxReads || !isName(r.secret)) {
				continue
			}
			names[r.secret] = true
			if !yield(r) {
				return
			}
		}
	}
}

// allReads visits them all, whatever is said to be a name.
func allReads(spec *corev1.PodSpec) iter.Seq[read] {
	return func(yield func(read) bool) {
		volumes := map[string]*corev1.Volume{}
		for i := range spec.Volumes {
			v := &spec.Volumes[i]
			volumes[v.Name] = v
			for in := range secretsIn(v) {
				if !yield(read{secret: in.secret, how: Volume, optional: in.optional}) {
					return
				}
			}
		}
		for c := range containers(spec) {
			for r := range heldBy(c, volumes) {
				if !yield(r) {
					return
				}
			}
		}
	}
}

// containers of a pod: those that prepare it, those that it is for, and those that were put into it to debug it.
func containers(spec *corev1.PodSpec) iter.Seq[*corev1.Container] {
	return func(yield func(*corev1.Container) bool) {
		for i := range spec.InitContainers {
			if !yield(&spec.InitContainers[i]) {
				return
			}
		}
		for i := range spec.Containers {
			if !yield(&spec.Containers[i]) {
				return
			}
		}
		for i := range spec.EphemeralContainers {
			if !yield((*corev1.Container)(&spec.EphemeralContainers[i].EphemeralContainerCommon)) {
				return
			}
		}
	}
}

// heldBy are the reads of a container that never refresh. volumes are those of its pod, by name.
func heldBy(c *corev1.Container, volumes map[string]*corev1.Volume) iter.Seq[read] {
	return func(yield func(read) bool) {
		_ = yieldEnv(c, yield) && yieldSubPaths(c, volumes, yield)
	}
}

// yieldEnv yields the reads of a container's environment. It reports whether yield wants more.
func yieldEnv(c *corev1.Container, yield func(read) bool) bool {
	for _, e := range c.Env {
		if e.ValueFrom == nil || e.ValueFrom.SecretKeyRef == nil {
			continue
		}
		if ref := e.ValueFrom.SecretKeyRef; !yield(read{c.Name, ref.Name, Env, ptr.Deref(ref.Optional, false)}) {
			return false
		}
	}
	for _, e := range c.EnvFrom {
		if e.SecretRef != nil && !yield(read{c.Name, e.SecretRef.Name, EnvFrom, ptr.Deref(e.SecretRef.Optional, false)}) {
			return false
		}
	}
	return true
}

// yieldSubPaths yields the reads of a container through subPath mounts. It reports whether yield wants more.
func yieldSubPaths(c *corev1.Container, volumes map[string]*corev1.Volume, yield func(read) bool) bool {
	for _, m := range c.VolumeMounts {
		if m.SubPath == "" && m.SubPathExpr == "" {
			continue
		}
		for in := range secretsIn(volumes[m.Name]) {
			if !yield(read{c.Name, in.secret, SubPath, in.optional}) {
				return false
			}
		}
	}
	return true
}

// secretsIn are the Secrets that the kubelet writes into a volume; none if there is no such volume. It does not write again
// what a volume's driver was given (nodePublishSecretRef and the like): those are not looked at.
func secretsIn(v *corev1.Volume) iter.Seq[reference] {
	return func(yield func(reference) bool) {
		if v == nil {
			return
		}
		if v.Secret != nil && !yield(reference{v.Secret.SecretName, ptr.Deref(v.Secret.Optional, false)}) {
			return
		}
		if v.Projected == nil {
			return
		}
		for _, source := range v.Projected.Sources {
			if source.Secret != nil && !yield(reference{source.Secret.Name, ptr.Deref(source.Secret.Optional, false)}) {
				return
			}
		}
	}
}
