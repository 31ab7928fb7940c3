// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package scan

import (
	"fmt"
	"path"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// container is what a scan needs of a container, an init container or an ephemeral container.
type container struct {
	field     string // containers, initContainers or ephemeralContainers
	name      string
	env       []corev1.EnvVar
	envFrom   []corev1.EnvFromSource
	mounts    []corev1.VolumeMount
	command   []string
	arguments []string
}

// words are what a container is started with.
func (c *container) words() []struct {
	field string
	texts []string
} {
	return []struct {
		field string
		texts []string
	}{{"command", c.command}, {"args", c.arguments}}
}

func containersOf(spec *corev1.PodSpec) (all []container) {
	for _, c := range spec.InitContainers {
		all = append(all, container{"initContainers", c.Name, c.Env, c.EnvFrom, c.VolumeMounts, c.Command, c.Args})
	}
	for _, c := range spec.Containers {
		all = append(all, container{"containers", c.Name, c.Env, c.EnvFrom, c.VolumeMounts, c.Command, c.Args})
	}
	for _, c := range spec.EphemeralContainers {
		all = append(all, container{"ephemeralContainers", c.Name, c.Env, c.EnvFrom, c.VolumeMounts, c.Command, c.Args})
	}
	return all
}

// AddWorkload scans a workload: its metadata, and its pod template.
func (s *Scan) AddWorkload(kind string, o metav1.Object, template *corev1.PodTemplateSpec) {
	object := Object{kind, o.GetNamespace(), o.GetName()}
	defer s.begin(object)()
	containers, annotations := s.AddOwner(object, o.GetUID(), template)
	if s.selects(o) {
		s.add(containers)
	}
	if reads := s.addReaders(object, &template.Spec); len(s.findings) > s.first || reads {
		s.affected = append(s.affected, workload{object, *template.DeepCopy()})
	}
	s.add(s.scanMetadata(object, o))
	if s.selects(o) {
		s.add(annotations)
	}
}

// AddOwner records an object that creates pods. It returns what its pod template holds, and adds no finding.
func (s *Scan) AddOwner(object Object, uid types.UID, template *corev1.PodTemplateSpec) (containers, annotations []Finding) {
	s.decoder.reset()
	containers, annotations = s.scanContainers(object, &template.Spec), s.scanAnnotations(object, "template.", template.Annotations)
	ids := map[fingerprint]bool{}
	for _, f := range slices.Concat(containers, annotations) {
		ids[f.id] = true
	}
	s.owners[uid] = ids
	return containers, annotations
}

// AddPod scans a pod. If a workload of one of the kinds created it, only what the workload's template does not have is the pod's own:
// ephemeral containers, and other AccessKeys. A reference to an owner alone proves nothing, since users write it too.
func (s *Scan) AddPod(o *corev1.Pod, ownerKinds ...string) {
	owner := s.OwnerOf(o, ownerKinds...)
	if owner == nil {
		s.AddWorkload("Pod", o, &corev1.PodTemplateSpec{Spec: o.Spec})
		return
	}
	object, template := Object{"Pod", o.Namespace, o.Name}, corev1.PodTemplateSpec{Spec: o.Spec}
	defer s.begin(object)()
	inTemplate := func(f Finding) bool { return s.owners[owner.UID][f.id] }
	if s.selects(o) {
		s.add(slices.DeleteFunc(s.scanContainers(object, &o.Spec), inTemplate))
	}
	if len(s.findings) == s.first {
		template.Spec.Containers, template.Spec.InitContainers = nil, nil
	}
	if reads := s.addReaders(object, &template.Spec); len(s.findings) > s.first || reads {
		s.affected = append(s.affected, workload{object, *template.DeepCopy()})
	}
	s.add(slices.DeleteFunc(s.scanMetadata(object, o), inTemplate))
}

// OwnerOf returns the controller of an object, if it is of one of the kinds and was added; else nil.
func (s *Scan) OwnerOf(o metav1.Object, kinds ...string) *metav1.OwnerReference {
	owner := metav1.GetControllerOf(o)
	if owner == nil || !slices.Contains(kinds, owner.Kind) || s.owners[owner.UID] == nil {
		return nil
	}
	return owner
}

// scanContainers scans the literals of containers.
func (s *Scan) scanContainers(object Object, spec *corev1.PodSpec) (found []Finding) {
	for _, c := range containersOf(spec) {
		place := c.field + "[" + c.name + "]."
		first, hasSecret := len(found), false
		for _, v := range c.env {
			hasSecret = hasSecret || isSecret(v.Value)
			found = append(found, s.scanField(object, place+"env["+shown(v.Name)+"]", v.Value)...)
		}
		for _, list := range c.words() {
			for i, text := range list.texts {
				found = append(found, s.scanField(object, fmt.Sprintf("%s%s[%d]", place, list.field, i), text)...)
				hasSecret = hasSecret || hasSecretIn(text)
			}
		}
		for i := first; i < len(found); i++ {
			found[i].HasSecret = found[i].HasSecret || hasSecret
		}
	}
	return found
}

// hasSecretIn reports whether an argument is or ends with an AccessKey secret.
func hasSecretIn(text string) bool { return len(text) <= 4<<10 && hasSecret(text) }

const (
	// maxReaders is the number of ways that are listed in which one workload reads one key, or all keys: a user of a namespace could
	// otherwise let the places multiply with the keys.
	maxReaders = 16
	// maxMounts is the number of mounts of a volume that are looked at, for the same reason.
	maxMounts = 256
)

// addReaders records which sources a pod reads, and reports whether it reads any.
func (s *Scan) addReaders(object Object, spec *corev1.PodSpec) (reads bool) {
	listed := map[*readers]int{}
	add := func(kind, name string, keys []string, r Reader) {
		src := s.sources[Object{kind, object.Namespace, name}]
		if src == nil {
			return
		}
		r.Workload = object
		for _, key := range keys {
			if key != allKeys && src.keys[key] == keyOther {
				continue
			}
			reads = true
			if src.readers[key] == nil {
				src.readers[key] = &readers{}
			}
			of := src.readers[key]
			if listed[of]++; listed[of] > maxReaders {
				of.more++
				continue
			}
			of.listed = append(of.listed, r)
		}
	}
	volumes, mounts := map[string]corev1.Volume{}, map[string]int{}
	for _, v := range spec.Volumes {
		volumes[v.Name] = v
	}
	for _, c := range containersOf(spec) {
		addEnv(c, add)
		for _, m := range c.mounts {
			if mounts[m.Name]++; mounts[m.Name] <= maxMounts {
				addVolume(c, m, volumes[m.Name], add)
			}
		}
	}
	for name, n := range mounts {
		if n > maxMounts {
			s.AddUnread(Unread{
				Resource: object.String() + " in namespace " + object.Namespace, Reason: fmt.Sprintf("volume %s has more than %d mounts", shown(name), maxMounts),
				Consequence: "who reads AccessKeys through its other mounts",
			})
		}
	}
	for _, ref := range spec.ImagePullSecrets {
		add("Secret", ref.Name, []string{allKeys}, Reader{How: "imagePullSecret"})
	}
	return reads
}

type addReader func(kind, name string, keys []string, r Reader)

func addEnv(c container, add addReader) {
	for _, v := range c.env {
		if v.ValueFrom == nil {
			continue
		}
		r := Reader{Container: c.name, How: "env", At: shown(v.Name)}
		if ref := v.ValueFrom.SecretKeyRef; ref != nil {
			add("Secret", ref.Name, []string{ref.Key}, r)
		}
		if ref := v.ValueFrom.ConfigMapKeyRef; ref != nil {
			add("ConfigMap", ref.Name, []string{ref.Key}, r)
		}
	}
	for _, from := range c.envFrom {
		r := Reader{Container: c.name, How: "envFrom"}
		if ref := from.SecretRef; ref != nil {
			add("Secret", ref.Name, []string{allKeys}, r)
		}
		if ref := from.ConfigMapRef; ref != nil {
			add("ConfigMap", ref.Name, []string{allKeys}, r)
		}
	}
}

// addVolume records a mount of a volume. A mount with subPath shows one file or one folder.
func addVolume(c container, m corev1.VolumeMount, v corev1.Volume, add addReader) {
	how := func(how string) Reader {
		if m.SubPath != "" || m.SubPathExpr != "" {
			how = "subPath"
		}
		return Reader{Container: c.name, How: how, At: shown(m.MountPath)}
	}
	keys := func(items []corev1.KeyToPath) []string { return mountedKeys(items, m) }
	switch {
	case v.Secret != nil:
		add("Secret", v.Secret.SecretName, keys(v.Secret.Items), how("volume"))
	case v.ConfigMap != nil:
		add("ConfigMap", v.ConfigMap.Name, keys(v.ConfigMap.Items), how("volume"))
	case v.CSI != nil && v.CSI.NodePublishSecretRef != nil:
		add("Secret", v.CSI.NodePublishSecretRef.Name, []string{allKeys}, how("csi"))
	case v.Projected != nil:
		for _, p := range v.Projected.Sources {
			if p.Secret != nil {
				add("Secret", p.Secret.Name, keys(p.Secret.Items), how("projected"))
			}
			if p.ConfigMap != nil {
				add("ConfigMap", p.ConfigMap.Name, keys(p.ConfigMap.Items), how("projected"))
			}
		}
	}
}

// mountedKeys returns the keys that a mount shows.
func mountedKeys(items []corev1.KeyToPath, m corev1.VolumeMount) (keys []string) {
	switch {
	case items == nil && m.SubPath == "":
		return []string{allKeys}
	case items == nil:
		return []string{path.Clean(m.SubPath)}
	}
	for _, item := range items {
		if under := path.Clean(m.SubPath); m.SubPath == "" || item.Path == under || len(item.Path) > len(under) && item.Path[:len(under)+1] == under+"/" {
			keys = append(keys, item.Key)
		}
	}
	return keys
}
