// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package rollout finds out how pods read a Secret, which of them hold what it held before, and how and when workloads
// are restarted. It is pure: it talks to nobody.
package rollout

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

// reads visits each place in a pod's spec that reads a Secret: in containers of all kinds, optional or not. Volumes count
// mounted or not. What pulls images is the node's.
func reads(spec *corev1.PodSpec) iter.Seq[read] {
	return func(yield func(read) bool) {
		volumes := map[string][]reference{}
		for _, v := range spec.Volumes {
			volumes[v.Name] = secretsIn(v)
			for _, in := range volumes[v.Name] {
				if isName(in.secret) && !yield(read{secret: in.secret, how: Volume, optional: in.optional}) {
					return
				}
			}
		}
		for c := range containers(spec) {
			for _, r := range heldBy(c, volumes) {
				if isName(r.secret) && !yield(r) {
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

// heldBy are the reads of a container that never refresh. volumes are the Secrets in each volume.
func heldBy(c *corev1.Container, volumes map[string][]reference) (held []read) {
	for _, e := range c.Env {
		if e.ValueFrom != nil && e.ValueFrom.SecretKeyRef != nil {
			ref := e.ValueFrom.SecretKeyRef
			held = append(held, read{c.Name, ref.Name, Env, ptr.Deref(ref.Optional, false)})
		}
	}
	for _, e := range c.EnvFrom {
		if e.SecretRef != nil {
			held = append(held, read{c.Name, e.SecretRef.Name, EnvFrom, ptr.Deref(e.SecretRef.Optional, false)})
		}
	}
	for _, m := range c.VolumeMounts {
		if m.SubPath == "" && m.SubPathExpr == "" {
			continue
		}
		for _, in := range volumes[m.Name] {
			held = append(held, read{c.Name, in.secret, SubPath, in.optional})
		}
	}
	return held
}

// secretsIn are the Secrets that the kubelet writes into a volume. It does not write again what a volume's driver was
// given (nodePublishSecretRef and the like): those are not looked at.
func secretsIn(v corev1.Volume) (secrets []reference) {
	if v.Secret != nil {
		secrets = append(secrets, reference{v.Secret.SecretName, ptr.Deref(v.Secret.Optional, false)})
	}
	if v.Projected != nil {
		for _, source := range v.Projected.Sources {
			if source.Secret != nil {
				secrets = append(secrets, reference{source.Secret.Name, ptr.Deref(source.Secret.Optional, false)})
			}
		}
	}
	return secrets
}
