// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package scan

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
)

// value is what a variable or a key holds.
type value struct {
	id       fingerprint
	isID     bool
	isSecret bool
	lastFour string
	holder   string
}

// addWorkload makes the patch of a workload.
func (g *generator) addWorkload(w workload) {
	p := patch{object: w.object, containers: map[string][]any{}}
	g.decoder.reset()
	for i, c := range containersOf(&w.template.Spec) {
		if c.field == "ephemeralContainers" {
			g.byHand(w.object, "an ephemeral container cannot be changed. Replace the pod")
			continue
		}
		index := i
		if c.field == "containers" {
			index -= len(w.template.Spec.InitContainers)
		}
		g.addContainer(&p, c, index)
	}
	for _, v := range w.template.Spec.Volumes {
		g.addVolume(&p, w.template.Spec, v)
	}
	for _, ref := range w.template.Spec.ImagePullSecrets {
		if g.sources[Object{"Secret", w.object.Namespace, ref.Name}] != nil {
			g.byHand(w.object, "it pulls images with Secret "+ref.Name+". Use a credential helper of the registry")
		}
	}
	if p.isEmpty() {
		return
	}
	if !isMutable(p.object.Kind) {
		g.byHand(w.object, "its pod template cannot be changed. Delete it, and create it again with the change in "+p.path(".yaml"))
	}
	g.patches = append(g.patches, p)
}

// addContainer makes the patch of a container.
func (g *generator) addContainer(p *patch, c container, index int) {
	change := map[string]any{}
	env := g.replaceVariables(p, c)
	for _, v := range g.replaceArguments(p, c, index) {
		if !slices.ContainsFunc(env, func(other any) bool { return other.(map[string]any)["name"] == v.(map[string]any)["name"] }) {
			env = append(env, v)
		}
	}
	if len(env) > 0 {
		change["env"] = env
	}
	if from := g.replaceEnvFrom(p, c); from != nil {
		change["envFrom"] = from
	}
	if len(change) > 0 {
		change["name"] = c.name
		p.containers[c.field] = append(p.containers[c.field], change)
	}
}

// valueOf returns what a variable holds.
func (g *generator) valueOf(object Object, v corev1.EnvVar) value {
	if from := v.ValueFrom; from != nil {
		switch {
		case from.SecretKeyRef != nil:
			return g.keyOf(Object{"Secret", object.Namespace, from.SecretKeyRef.Name}, from.SecretKeyRef.Key)
		case from.ConfigMapKeyRef != nil:
			return g.keyOf(Object{"ConfigMap", object.Namespace, from.ConfigMapKeyRef.Name}, from.ConfigMapKeyRef.Key)
		}
		return value{}
	}
	text := strings.TrimSpace(v.Value)
	if id, found := nextID(text, 0); found && id.end-id.start == len(text) {
		return valueOfID(text, object.Name)
	}
	return value{isSecret: isSecret(text)}
}

func valueOfID(id, holder string) value {
	return value{id: fingerprintOf(id), isID: true, lastFour: lastFour(id), holder: holder}
}

// keyOf returns what a key of a Secret or ConfigMap holds.
func (g *generator) keyOf(object Object, key string) value {
	if src := g.sources[object]; src != nil && src.ids[key].isID {
		return src.ids[key]
	}
	return value{isSecret: slices.Contains(g.secretKeys[object], key)}
}

// replaceVariables returns the variables of a container that read AccessKeys, as they read the new Secret.
func (g *generator) replaceVariables(p *patch, c container) (env []any) {
	var ids, secrets []string
	values := map[string]value{}
	for _, v := range c.env {
		values[v.Name] = g.valueOf(p.object, v)
		switch held := values[v.Name]; {
		case held.isID:
			ids = append(ids, v.Name)
		case held.isSecret:
			secrets = append(secrets, v.Name)
		case v.Value != "" && len(scanText(v.Value, &g.decoder).hits) > 0:
			g.byHand(p.object, "variable "+shown(v.Name)+" of container "+c.name+" holds an AccessKey in a text. Change the program to read it from variables of its own")
		}
	}
	for _, id := range ids {
		secret := secretFor(id, secrets)
		if secret == "" {
			g.byHand(p.object, "variable "+shown(id)+" of container "+c.name+" holds an AccessKey ID, but no variable of the container its secret")
			continue
		}
		credential := g.credentialFor(p.object.Namespace, values[id])
		credential.restart = true
		named, keys := credential.keys(id, secret)
		for i, name := range named {
			env = append(env, g.variable(c, name, credential.name, keys[i]))
		}
		p.tokens = append(p.tokens, named[nameOfToken])
	}
	return env
}

// variable returns a variable that reads a key of a Secret, in place of what the container has under its name.
func (g *generator) variable(c container, name, secret, key string) map[string]any {
	from := map[string]any{"secretKeyRef": map[string]any{"name": secret, "key": key}}
	entry := map[string]any{"name": name, "valueFrom": from}
	for _, v := range c.env {
		switch {
		case v.Name != name:
		case v.ValueFrom == nil:
			entry["value"] = nil
		case v.ValueFrom.SecretKeyRef == nil:
			from["configMapKeyRef"], from["fieldRef"], from["resourceFieldRef"] = nil, nil, nil
		}
	}
	return entry
}

// replaceArguments replaces AccessKeys in command and arguments by references to variables, which it returns.
func (g *generator) replaceArguments(p *patch, c container, index int) (env []any) {
	sdk := formats[0].names
	var used *credential
	before := len(p.operations)
	for _, list := range c.words() {
		for i, text := range list.texts {
			replaced, id := replaceKeys(text, sdk)
			if replaced == text {
				if len(scanText(text, &g.decoder).hits) > 0 {
					g.byHand(p.object, fmt.Sprintf("%s %d of container %s holds an AccessKey in a document", list.field, i, c.name))
				}
				continue
			}
			if id != "" {
				used = g.credentialFor(p.object.Namespace, valueOfID(id, p.object.Name))
			}
			path := "/" + strings.Join(append(templatePath(p.object.Kind), "spec", c.field, fmt.Sprint(index), list.field, fmt.Sprint(i)), "/")
			p.operations = append(p.operations, map[string]string{"op": "replace", "path": path, "value": replaced})
		}
	}
	if used == nil {
		p.operations = p.operations[:before] // what looked like a secret belongs to no AccessKey
		return nil
	}
	used.restart = true
	used.addFormat(v1alpha1.FormatSDK)
	for _, name := range sdk {
		env = append(env, g.variable(c, name, used.name, name))
	}
	p.tokens = append(p.tokens, sdk[nameOfToken])
	return env
}

// replaceKeys replaces an AccessKey in a text by references to variables. It returns the ID that was replaced.
func replaceKeys(text string, n names) (replaced, id string) {
	for {
		s, found := nextID(text, 0)
		if !found {
			break
		}
		id = s.of(text)
		text = text[:s.start] + "$(" + n[nameOfID] + ")" + text[s.end:]
	}
	for {
		s, found := nextSecret(text, 0)
		if !found {
			return text, id
		}
		text = text[:s.start] + "$(" + n[nameOfSecret] + ")" + text[s.end:]
	}
}

// pairs requests the AccessKeys among the keys of a source, and returns their keys in the new Secret by those in the source.
func (g *generator) pairs(object Object) (c *credential, keys map[string]string, tokens []string) {
	src, keys := g.sources[object], map[string]string{}
	for _, id := range slices.Sorted(maps.Keys(src.ids)) {
		secret := secretFor(id, g.secretKeys[object])
		if secret == "" {
			continue
		}
		wanted := g.credentialFor(object.Namespace, src.ids[id])
		if c != nil && c != wanted {
			g.byHand(object, "it holds several AccessKeys. Only the first is replaced where it is read as a whole")
			break
		}
		c = wanted
		_, n := c.keys(id, secret)
		keys[id], keys[secret] = n[nameOfID], n[nameOfSecret]
		tokens = append(tokens, n[nameOfToken])
	}
	for key, kind := range src.keys {
		if format, known := documents[key]; known && kind == keyDocument {
			for _, i := range src.findings {
				f := &g.findings[i]
				if f.key == key && (c == nil || c == g.credentials[object.Namespace+"/"+string(f.id[:])]) {
					c = g.credentialFor(object.Namespace, value{id: f.id, lastFour: f.LastFour, holder: object.Name})
					c.addFormat(format)
					keys[key] = key
				}
			}
		}
	}
	return c, keys, tokens
}

// replaceEnvFrom returns the sources of variables of a container with the new Secrets; nil if it reads none.
func (g *generator) replaceEnvFrom(p *patch, c container) (sources []any) {
	changed := false
	for _, from := range c.envFrom {
		object, source := Object{Namespace: p.object.Namespace}, map[string]any{}
		switch {
		case from.SecretRef != nil:
			object.Kind, object.Name = "Secret", from.SecretRef.Name
			source["secretRef"] = from.SecretRef
		case from.ConfigMapRef != nil:
			object.Kind, object.Name = "ConfigMap", from.ConfigMapRef.Name
			source["configMapRef"] = from.ConfigMapRef
		}
		if from.Prefix != "" {
			source["prefix"] = from.Prefix
		}
		src := g.sources[object]
		if src == nil {
			sources = append(sources, source)
			continue
		}
		credential, keys, tokens := g.pairs(object)
		if credential == nil {
			g.byHand(p.object, "container "+c.name+" reads all keys of "+object.String()+", with an AccessKey in a text or without its secret")
		}
		if credential == nil || len(keys) < len(src.keys) {
			sources = append(sources, source) // it has more keys
		}
		if credential != nil {
			added := map[string]any{"secretRef": map[string]any{"name": credential.name}}
			if from.Prefix != "" {
				added["prefix"] = from.Prefix
			}
			sources = append(sources, added)
			for _, token := range tokens {
				p.tokens = append(p.tokens, from.Prefix+token)
			}
			credential.restart, changed = true, true
		}
	}
	if !changed {
		return nil
	}
	return sources
}

// addVolume lets a volume hold the files of the new Secret.
func (g *generator) addVolume(p *patch, spec corev1.PodSpec, v corev1.Volume) {
	var sources []corev1.VolumeProjection
	var mode *int32
	switch {
	case v.Secret != nil:
		sources, mode = []corev1.VolumeProjection{{Secret: &corev1.SecretProjection{
			LocalObjectReference: corev1.LocalObjectReference{Name: v.Secret.SecretName}, Items: v.Secret.Items, Optional: v.Secret.Optional,
		}}}, v.Secret.DefaultMode
	case v.ConfigMap != nil:
		sources, mode = []corev1.VolumeProjection{{ConfigMap: &corev1.ConfigMapProjection{
			LocalObjectReference: v.ConfigMap.LocalObjectReference, Items: v.ConfigMap.Items, Optional: v.ConfigMap.Optional,
		}}}, v.ConfigMap.DefaultMode
	case v.Projected != nil:
		sources, mode = v.Projected.Sources, v.Projected.DefaultMode
	case v.CSI != nil && v.CSI.NodePublishSecretRef != nil && g.sources[Object{"Secret", p.object.Namespace, v.CSI.NodePublishSecretRef.Name}] != nil:
		g.byHand(p.object, "the CSI driver of volume "+v.Name+" reads the AccessKey. Let it read a Secret with the format STS, if it supports a token")
		return
	}
	var replaced []corev1.VolumeProjection
	changed := false
	for _, source := range sources {
		with, ok := g.replaceProjection(p, spec, v.Name, source)
		replaced, changed = append(replaced, with...), changed || ok
	}
	if changed {
		p.volumes = append(p.volumes, map[string]any{
			"name": v.Name, "$retainKeys": []string{"name", "projected"},
			"projected": &corev1.ProjectedVolumeSource{Sources: replaced, DefaultMode: mode},
		})
	}
}

// replaceProjection returns a projection with the files of the new Secret, and whether it has any.
func (g *generator) replaceProjection(p *patch, spec corev1.PodSpec, volume string, source corev1.VolumeProjection) ([]corev1.VolumeProjection, bool) {
	object, items := Object{Namespace: p.object.Namespace}, []corev1.KeyToPath(nil)
	switch {
	case source.Secret != nil:
		object.Kind, object.Name, items = "Secret", source.Secret.Name, source.Secret.Items
	case source.ConfigMap != nil:
		object.Kind, object.Name, items = "ConfigMap", source.ConfigMap.Name, source.ConfigMap.Items
	}
	src := g.sources[object]
	if src == nil {
		return []corev1.VolumeProjection{source}, false
	}
	if items == nil {
		for _, key := range slices.Sorted(maps.Keys(src.keys)) {
			items = append(items, corev1.KeyToPath{Key: key, Path: key})
		}
	}
	c, keys, tokens := g.pairs(object)
	var kept, added []corev1.KeyToPath
	for _, item := range items {
		if key := keys[item.Key]; key != "" {
			item.Key = key
			added = append(added, item)
			continue
		}
		kept = append(kept, item)
		if src.keys[item.Key] == keyDocument {
			g.byHand(p.object, fmt.Sprintf("file %s of volume %s holds an AccessKey in a text. Write it with spec.secret.template, or let the program read variables", shown(item.Path), volume))
		}
	}
	if c == nil || len(added) == 0 {
		return []corev1.VolumeProjection{source}, false
	}
	for _, token := range tokens {
		added = append(added, corev1.KeyToPath{Key: token, Path: token})
	}
	p.tokens = append(p.tokens, tokens...)
	if len(tokens) == 0 {
		p.tokens = append(p.tokens, "in the file")
	}
	c.restart = c.restart || hasSubPath(spec, volume)
	return projections(source, kept, c.name, added), true
}

// projections returns what is kept of a projection, and the files of the new Secret.
func projections(source corev1.VolumeProjection, kept []corev1.KeyToPath, secret string, added []corev1.KeyToPath) (all []corev1.VolumeProjection) {
	if len(kept) > 0 {
		rest := *source.DeepCopy()
		if rest.Secret != nil {
			rest.Secret.Items = kept
		} else {
			rest.ConfigMap.Items = kept
		}
		all = append(all, rest)
	}
	return append(all, corev1.VolumeProjection{Secret: &corev1.SecretProjection{
		LocalObjectReference: corev1.LocalObjectReference{Name: secret}, Items: added,
	}})
}

// hasSubPath reports whether a container mounts a part of a volume, which never changes.
func hasSubPath(spec corev1.PodSpec, volume string) bool {
	for _, c := range containersOf(&spec) {
		for _, m := range c.mounts {
			if m.Name == volume && (m.SubPath != "" || m.SubPathExpr != "") {
				return true
			}
		}
	}
	return false
}
