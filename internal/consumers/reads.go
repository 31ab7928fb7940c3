// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package consumers determines how pods read a Secret, which of them use superseded credentials, and when and how their
// workloads are restarted. It makes no request.
package consumers

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"
)

// How is how a pod reads a Secret: a set of ways.
type How uint8

// The ways. Values that are read in the first three ways never change in a running container.
const (
	Env How = 1 << iota
	EnvFrom
	SubPath
	Volume
	// Agent: the agent serves it in the pod, which has the label v1alpha1.LabelAgent and the container v1alpha1.AgentContainer.
	Agent
)

// refreshes reports whether the pod reads changes of the Secret without a restart.
func (h How) refreshes() bool { return h&(Env|EnvFrom|SubPath) == 0 }

// heldBy returns the names of the Secrets that pods of a template read in a way that never refreshes.
func heldBy(template *corev1.PodSpec) (names []string) {
	for _, r := range reads(template) {
		if !r.how.refreshes() && !slices.Contains(names, r.secret) {
			names = append(names, r.secret)
		}
	}
	return names
}

// read is one place in a pod's spec that reads a Secret. container is empty for a volume, which belongs to the whole pod.
// Containers start without the Secret where the place is optional.
type read struct {
	container, secret string
	how               How
	optional          bool
}

// maxName is the longest name that a Secret can have, in bytes.
const maxName = 253

// isName reports whether a Secret can have this name. The API server accepts any text as the name in a volume. Text that is no
// name reads nothing, and must not look like another name in a list of names.
func isName(text string) bool {
	return text != "" && len(text) <= maxName && strings.Trim(text, "abcdefghijklmnopqrstuvwxyz0123456789.-") == ""
}

// maxReads is the maximum number of Secrets that are kept of a pod, maxReferences that of the references that are examined: a
// pod can name tens of thousands of Secrets. Volumes are examined first, then the containers in their order.
const maxReads, maxReferences = 64, 4096

// reads returns the references to Secrets in a pod's spec: in containers of all kinds, optional or not. Volumes count even if
// no container mounts them. Secrets that pull images do not count, since only the kubelet reads them.
func reads(spec *corev1.PodSpec) []read {
	found, volumes := readSet{names: map[string]bool{}}, map[string][]read{}
	for i := range spec.Volumes {
		first := len(found.reads)
		found.addVolume(&spec.Volumes[i])
		volumes[spec.Volumes[i].Name] = found.reads[first:]
	}
	for i := range spec.InitContainers {
		found.addContainer(&spec.InitContainers[i], volumes)
	}
	for i := range spec.Containers {
		found.addContainer(&spec.Containers[i], volumes)
	}
	for i := range spec.EphemeralContainers {
		found.addContainer((*corev1.Container)(&spec.EphemeralContainers[i].EphemeralContainerCommon), volumes)
	}
	return found.reads
}

// readSet collects reads within the bounds.
type readSet struct {
	reads      []read
	names      map[string]bool
	references int
}

// full reports whether no further reference is examined.
func (p *readSet) full() bool { return p.references >= maxReferences }

func (p *readSet) add(container, secret string, how How, optional *bool) {
	if p.full() {
		return
	}
	p.references++
	if p.names[secret] || len(p.names) < maxReads && isName(secret) {
		p.names[secret] = true
		p.reads = append(p.reads, read{container, secret, how, ptr.Deref(optional, false)})
	}
}

// addContainer adds the reads of a container that never refresh. volumes are the reads of its pod in volumes, by name of the volume.
// The sources of a volume are examined once, not for each mount: a pod can have tens of thousands of both.
func (p *readSet) addContainer(c *corev1.Container, volumes map[string][]read) {
	for _, e := range c.Env {
		if e.ValueFrom != nil && e.ValueFrom.SecretKeyRef != nil {
			p.add(c.Name, e.ValueFrom.SecretKeyRef.Name, Env, e.ValueFrom.SecretKeyRef.Optional)
		}
	}
	for _, e := range c.EnvFrom {
		if e.SecretRef != nil {
			p.add(c.Name, e.SecretRef.Name, EnvFrom, e.SecretRef.Optional)
		}
	}
	for _, mount := range c.VolumeMounts {
		if p.full() {
			return
		}
		if mount.SubPath == "" && mount.SubPathExpr == "" {
			continue
		}
		for _, r := range volumes[mount.Name] {
			p.add(c.Name, r.secret, SubPath, &r.optional)
		}
	}
}

// addVolume adds the Secrets that the kubelet writes to a volume and updates there. It does not update the Secrets of volume
// drivers (such as nodePublishSecretRef).
func (p *readSet) addVolume(v *corev1.Volume) {
	if v.Secret != nil {
		p.add("", v.Secret.SecretName, Volume, v.Secret.Optional)
	}
	if v.Projected == nil {
		return
	}
	for _, source := range v.Projected.Sources {
		if p.full() {
			return
		}
		if source.Secret != nil {
			p.add("", source.Secret.Name, Volume, source.Secret.Optional)
		}
	}
}
