// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package scan

import (
	"fmt"
	"path"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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
	s.AddOwner(o.GetUID())
	s.decoder.reset()
	defer s.checkDecoded(object)
	before := len(s.findings)
	if s.selects(o) {
		for _, c := range containersOf(&template.Spec) {
			s.addContainer(object, c)
		}
	}
	reads := s.addReaders(object, &template.Spec)
	if len(s.findings) > before || reads {
		s.affected = append(s.affected, workload{object, *template.DeepCopy()})
	}
	s.addMetadata(object, "", o)
	if kind != "Pod" && s.selects(o) {
		s.addAnnotations(object, "template.", template.Annotations)
	}
}

// addContainer scans the literals of a container.
func (s *Scan) addContainer(object Object, c container) {
	place := c.field + "[" + c.name + "]."
	first, hasSecret := len(s.findings), false
	for _, v := range c.env {
		hasSecret = hasSecret || isSecret(v.Value)
		s.findings = append(s.findings, s.scanField(object, place+"env["+shown(v.Name)+"]", v.Value)...)
	}
	for _, list := range []struct {
		field string
		texts []string
	}{{"command", c.command}, {"args", c.arguments}} {
		for i, text := range list.texts {
			s.findings = append(s.findings, s.scanField(object, fmt.Sprintf("%s%s[%d]", place, list.field, i), text)...)
			hasSecret = hasSecret || hasSecretIn(text)
		}
	}
	for i := first; i < len(s.findings); i++ {
		s.findings[i].HasSecret = s.findings[i].HasSecret || hasSecret
	}
}

// hasSecretIn reports whether an argument is or ends with an AccessKey secret.
func hasSecretIn(text string) bool { return len(text) <= 4<<10 && hasSecret(text) }

// maxReaders is the number of ways that are recorded in which one workload reads one key: a user of a namespace could otherwise
// let the places multiply with the keys.
const maxReaders = 16

// addReaders records which sources a pod reads, and reports whether it reads any.
func (s *Scan) addReaders(object Object, spec *corev1.PodSpec) (reads bool) {
	recorded := map[*source]map[string]int{}
	add := func(kind, name string, keys []string, r Reader) {
		src := s.sources[Object{kind, object.Namespace, name}]
		if src == nil {
			return
		}
		r.Workload = object
		for key, kind := range src.keys {
			if kind != keyOther && (keys == nil || slices.Contains(keys, key)) {
				reads = true
				if recorded[src] == nil {
					recorded[src] = map[string]int{}
				}
				if recorded[src][key]++; recorded[src][key] <= maxReaders {
					src.readers[key] = append(src.readers[key], r)
				}
			}
		}
	}
	for _, c := range containersOf(spec) {
		addEnv(c, add)
		for _, m := range c.mounts {
			for _, v := range spec.Volumes {
				if v.Name == m.Name {
					addVolume(c, m, v, add)
				}
			}
		}
	}
	for _, ref := range spec.ImagePullSecrets {
		add("Secret", ref.Name, nil, Reader{How: "imagePullSecret"})
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
			add("Secret", ref.Name, nil, r)
		}
		if ref := from.ConfigMapRef; ref != nil {
			add("ConfigMap", ref.Name, nil, r)
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
		add("Secret", v.CSI.NodePublishSecretRef.Name, nil, how("csi"))
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

// mountedKeys returns the keys that a mount shows; nil for all.
func mountedKeys(items []corev1.KeyToPath, m corev1.VolumeMount) []string {
	if items == nil && m.SubPath == "" {
		return nil
	}
	keys := []string{}
	if items == nil {
		return append(keys, path.Clean(m.SubPath))
	}
	for _, item := range items {
		if under := path.Clean(m.SubPath); m.SubPath == "" || item.Path == under || len(item.Path) > len(under) && item.Path[:len(under)+1] == under+"/" {
			keys = append(keys, item.Key)
		}
	}
	return keys
}
