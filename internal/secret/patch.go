// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package secret

import (
	"encoding/json"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
)

// PatchType is the type of what Patch and Release return. A strategic merge patch names the owners that change, so that
// those of others, which a stripped Secret does not have, stay.
const PatchType = types.StrategicMergePatchType

// mergePatch is a strategic merge patch of a Secret. A nil value removes its key.
type mergePatch struct {
	Metadata metadataPatch      `json:"metadata"`
	Data     map[string]*[]byte `json:"data,omitempty"`
}

type metadataPatch struct {
	ResourceVersion string             `json:"resourceVersion"`
	Labels          map[string]*string `json:"labels,omitempty"`
	Annotations     map[string]*string `json:"annotations,omitempty"`
	OwnerReferences []ownerPatch       `json:"ownerReferences,omitempty"`
}

// ownerPatch sets the owner with its UID or, with the directive "delete", removes it.
type ownerPatch struct {
	Directive string `json:"$patch,omitempty"`
	*metav1.OwnerReference
	UID types.UID `json:"uid"`
}

// Patch is the strategic merge patch that makes a Secret as seen (stripped) into what is wanted, touching only keys that are
// or were ours, and only if nobody has written to it since. It is nil if nothing is to be done. Data and record change
// only if the wanted Secret has data.
func Patch(seen, want *corev1.Secret) []byte {
	want = completed(seen, want)
	patch := mergePatch{Metadata: metadataPatch{
		ResourceVersion: seen.ResourceVersion,
		Labels:          changes(seen.Labels, want.Labels, noted(seen, managedLabelsAnnotation)),
		Annotations:     changes(seen.Annotations, want.Annotations, ourAnnotations(seen, want)),
		OwnerReferences: owners(seen, want),
	}}
	if want.Data != nil {
		patch.Data = dataChanges(noted(seen, managedKeysAnnotation), want.Data)
	}
	return patch.encode()
}

// Release is the strategic merge patch that takes out of a Secret as seen (stripped) all that was written to it, and leaves what
// others put there, if nobody has written to it since.
func Release(seen *corev1.Secret) []byte {
	none := &corev1.Secret{}
	annotations := slices.Concat(noted(seen, managedAnnotationsAnnotation), recordAnnotations,
		[]string{secretAnnotation, dataHashAnnotation, managedLabelsAnnotation, managedAnnotationsAnnotation})
	return mergePatch{
		Metadata: metadataPatch{
			ResourceVersion: seen.ResourceVersion,
			Labels:          changes(seen.Labels, nil, append(noted(seen, managedLabelsAnnotation), UIDLabel, managedByLabel)),
			Annotations:     changes(seen.Annotations, nil, annotations),
			OwnerReferences: owners(seen, none),
		},
		Data: dataChanges(noted(seen, managedKeysAnnotation), nil),
	}.encode()
}

// noted are the keys that an annotation of the operator lists. Where nothing but its owner's consent makes a Secret the
// operator's, the list is not the operator's: it may have been copied.
func noted(seen *corev1.Secret, annotation string) []string {
	if metav1.GetControllerOfNoCopy(seen) == nil && recordedFor(seen) == "" {
		return nil
	}
	return listedIn(seen.Annotations, annotation)
}

// completed adds the Secret's own name and all versions of its data hash to a frame, where the record is as written.
func completed(seen, frame *corev1.Secret) *corev1.Secret {
	if _, intact := Read(seen); frame.Data != nil || !intact {
		return frame
	}
	complete := *frame
	complete.Annotations = map[string]string{}
	maps.Copy(complete.Annotations, frame.Annotations)
	complete.Annotations[secretAnnotation] = fullName(seen)
	if !sameHash(seen.Annotations[dataHashAnnotation], contentHash(seen)) || !namesItself(seen) {
		complete.Annotations[dataHashAnnotation] = dataHashes(seen)
	}
	return &complete
}

// encode returns nil for a patch that changes nothing.
func (p mergePatch) encode() []byte {
	if len(p.Metadata.Labels)+len(p.Metadata.Annotations)+len(p.Metadata.OwnerReferences)+len(p.Data) == 0 {
		return nil
	}
	raw, err := json.Marshal(p)
	if err != nil {
		panic("secret: a patch made of strings cannot be encoded: " + err.Error())
	}
	return raw
}

// ourAnnotations are those on a Secret that go unless they are wanted.
func ourAnnotations(seen, want *corev1.Secret) []string {
	ours := append(noted(seen, managedAnnotationsAnnotation), managedLabelsAnnotation, managedAnnotationsAnnotation)
	if want.Data != nil {
		ours = append(ours, recordAnnotations...)
	}
	return ours
}

// changes sets what is wanted and different, and removes what is ours and not wanted. Of long values the hash was seen.
func changes(seen, want map[string]string, ours []string) map[string]*string {
	changed := map[string]*string{}
	for k, v := range want {
		if was, set := seen[k]; !set || was != v && was != hashOf(v) {
			changed[k] = &v
		}
	}
	for _, k := range ours {
		_, set := seen[k]
		_, wanted := want[k]
		if set && !wanted {
			changed[k] = nil
		}
	}
	return changed
}

func dataChanges(ours []string, want map[string][]byte) map[string]*[]byte {
	changed := map[string]*[]byte{}
	for _, k := range ours {
		changed[k] = nil
	}
	for k, v := range want {
		changed[k] = &v
	}
	return changed
}

// owners removes the StsCredentials that are the controller, or are called like the one that is wanted, unless they are it,
// and sets the one that is wanted. Of StsCredentials that are the controller, a Secret that is written to has no other than
// ours, or one of the same name that is gone.
func owners(seen, want *corev1.Secret) (changed []ownerPatch) {
	named := func(name string) bool {
		return slices.ContainsFunc(want.OwnerReferences, func(ours metav1.OwnerReference) bool { return name == ours.Name })
	}
	has := func(all []metav1.OwnerReference, same func(metav1.OwnerReference) bool) bool {
		return slices.ContainsFunc(all, same)
	}
	for _, was := range seen.OwnerReferences {
		ours := isCredential(was) && (ptr.Deref(was.Controller, false) || named(was.Name))
		if ours && !has(want.OwnerReferences, func(ref metav1.OwnerReference) bool { return ref.UID == was.UID }) {
			changed = append(changed, ownerPatch{Directive: "delete", UID: was.UID})
		}
	}
	for _, ref := range want.OwnerReferences {
		if !has(seen.OwnerReferences, func(was metav1.OwnerReference) bool { return equality.Semantic.DeepEqual(was, ref) }) {
			changed = append(changed, ownerPatch{OwnerReference: &ref, UID: ref.UID})
		}
	}
	return changed
}
