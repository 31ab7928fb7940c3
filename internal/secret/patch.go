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

// PatchType is the type of the patches of this package. A strategic merge patch names the owners that change, so that it keeps
// other owners, which a stripped Secret does not have.
const PatchType = types.StrategicMergePatchType

// Field managers of the operator's writes. The API server records the time of the last write of each, by its own clock. Labels
// and owners have their own manager, so that a change of theirs does not look like new credentials. Earlier versions wrote
// everything as "sts-credential-operator", after their user agent: that time is not the time of the credentials.
const (
	CredentialsManager = "sts-credential-operator-credentials" //nolint:gosec // it is a name
	MetadataManager    = "sts-credential-operator-metadata"
)

// FieldManager returns the field manager that writes a desired Secret: whole, or its metadata only.
func FieldManager(desired *corev1.Secret) string {
	if desired.Data != nil {
		return CredentialsManager
	}
	return MetadataManager
}

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

// Patch returns the strategic merge patch that brings an existing Secret, stripped, in line with the desired one. It changes only
// keys that the operator manages, and fails if the Secret has changed since it was read. It is nil if nothing differs. Data and
// record change only if the desired Secret has data.
func Patch(existing, desired *corev1.Secret) []byte {
	desired = completed(existing, desired)
	patch := mergePatch{Metadata: metadataPatch{
		ResourceVersion: existing.ResourceVersion,
		Labels:          changes(existing.Labels, desired.Labels, managedIn(existing, managedLabelsAnnotation)),
		Annotations:     changes(existing.Annotations, desired.Annotations, managedAnnotations(existing, desired)),
		OwnerReferences: owners(existing, desired),
	}}
	if desired.Data != nil {
		patch.Data = dataChanges(managedIn(existing, managedKeysAnnotation), desired.Data)
	}
	return patch.encode()
}

// RemovalPatch returns the strategic merge patch that removes from an existing Secret, stripped, all that the operator wrote, and
// keeps the rest. It fails if the Secret has changed since it was read.
func RemovalPatch(existing *corev1.Secret) []byte {
	none := &corev1.Secret{}
	annotations := slices.Concat(managedIn(existing, managedAnnotationsAnnotation), recordAnnotations,
		[]string{secretAnnotation, dataHashAnnotation, managedLabelsAnnotation, managedAnnotationsAnnotation})
	return mergePatch{
		Metadata: metadataPatch{
			ResourceVersion: existing.ResourceVersion,
			Labels:          changes(existing.Labels, nil, append(managedIn(existing, managedLabelsAnnotation), UIDLabel, managedByLabel)),
			Annotations:     changes(existing.Annotations, nil, annotations),
			OwnerReferences: owners(existing, none),
		},
		Data: dataChanges(managedIn(existing, managedKeysAnnotation), nil),
	}.encode()
}

// managedIn returns the keys that an annotation of the operator lists. They are not trusted if only the owner's consent makes
// the Secret writable: the annotation may have been copied.
func managedIn(existing *corev1.Secret, annotation string) []string {
	if metav1.GetControllerOfNoCopy(existing) == nil && RecordedFor(existing) == "" {
		return nil
	}
	return listedIn(existing.Annotations, annotation)
}

// completed adds the Secret's own name and all versions of its data hash to desired metadata, if the record is as written.
func completed(existing, desired *corev1.Secret) *corev1.Secret {
	if _, intact := Read(existing); desired.Data != nil || !intact {
		return desired
	}
	complete := *desired
	complete.Annotations = map[string]string{}
	maps.Copy(complete.Annotations, desired.Annotations)
	complete.Annotations[secretAnnotation] = fullName(existing)
	if !sameHash(existing.Annotations[dataHashAnnotation], contentHash(existing)) || !namesItself(existing) {
		complete.Annotations[dataHashAnnotation] = dataHashes(existing)
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

// managedAnnotations returns the annotations on a Secret that are removed unless they are desired.
func managedAnnotations(existing, desired *corev1.Secret) []string {
	keys := append(managedIn(existing, managedAnnotationsAnnotation), managedLabelsAnnotation, managedAnnotationsAnnotation)
	if desired.Data != nil {
		keys = append(keys, recordAnnotations...)
	}
	return keys
}

// changes sets desired values that differ, and removes managed keys that are not desired. Long existing values are hashes.
func changes(existing, desired map[string]string, managed []string) map[string]*string {
	changed := map[string]*string{}
	for k, v := range desired {
		if was, set := existing[k]; !set || was != v && was != hashOf(v) {
			changed[k] = &v
		}
	}
	for _, k := range managed {
		_, set := existing[k]
		_, keep := desired[k]
		if set && !keep {
			changed[k] = nil
		}
	}
	return changed
}

func dataChanges(managed []string, desired map[string][]byte) map[string]*[]byte {
	changed := map[string]*[]byte{}
	for _, k := range managed {
		changed[k] = nil
	}
	for k, v := range desired {
		changed[k] = &v
	}
	return changed
}

// owners sets the desired owner, and removes other StsCredentials that are the controller or have its name. A Secret that is
// written to has no other StsCredential as controller than this one, or a deleted one of the same name.
func owners(existing, desired *corev1.Secret) (changed []ownerPatch) {
	named := func(name string) bool {
		return slices.ContainsFunc(desired.OwnerReferences, func(ref metav1.OwnerReference) bool { return name == ref.Name })
	}
	for _, was := range existing.OwnerReferences {
		managed := isCredential(was) && (ptr.Deref(was.Controller, false) || named(was.Name))
		if managed && !slices.ContainsFunc(desired.OwnerReferences, func(ref metav1.OwnerReference) bool { return ref.UID == was.UID }) {
			changed = append(changed, ownerPatch{Directive: "delete", UID: was.UID})
		}
	}
	for _, ref := range desired.OwnerReferences {
		if !slices.ContainsFunc(existing.OwnerReferences, func(was metav1.OwnerReference) bool { return equality.Semantic.DeepEqual(was, ref) }) {
			changed = append(changed, ownerPatch{OwnerReference: &ref, UID: ref.UID})
		}
	}
	return changed
}

// Altered compares the stripped response of a write with the Secret that was sent, which admission may have changed. It returns
// what differs, for messages; empty if nothing does.
func Altered(got, sent *corev1.Secret) string {
	if sent.Data != nil {
		record, intact := Read(got)
		if record == nil || !sameHash(got.Annotations[dataHashAnnotation], sent.Annotations[dataHashAnnotation]) {
			return "record"
		}
		if !intact {
			return "data"
		}
	}
	metadata := *sent
	metadata.Data = nil
	if got.Type != sent.Type || Patch(got, &metadata) != nil {
		return "labels, annotations or owner"
	}
	return ""
}
