// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package secret

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// seenHash is where a stripped Secret keeps the hash of the data that was dropped: among the labels, as what no label can be
// called.
const seenHash = "hash of the data"

// stripped marks such a Secret in the one field that the API server never sends, so that nobody can forge it.
var stripped = map[string]string{}

// Strip is a cache transform: it replaces a Secret's data by its hash and drops the labels and annotations of others, so
// that the operator's memory holds no credential and does not grow with what people write. Every Secret that Read or Patch
// is given must have gone through it. Other objects pass, as does what was stripped before.
func Strip(object any) (any, error) {
	s, ok := object.(*corev1.Secret)
	if !ok || s.StringData != nil {
		return object, nil
	}
	hash, stored := dataHash(s), storedAt(s.ManagedFields)
	s.Data, s.StringData, s.ManagedFields = nil, stripped, nil
	s.Labels = ours(s.Labels, s.Annotations[managedLabelsAnnotation])
	s.Labels[seenHash] = hash
	if stored != "" {
		s.Labels[storedLabel] = stored
	}
	s.Annotations = ours(s.Annotations, s.Annotations[managedAnnotationsAnnotation])
	share(s)
	return s, nil
}

// share has a Secret hold once what it says several times, and not at all what all of them say: there are many.
func share(s *corev1.Secret) {
	if s.Labels[managedByLabel] == managedBy {
		s.Labels[managedByLabel] = managedBy
	}
	for i := range s.OwnerReferences {
		ref := &s.OwnerReferences[i]
		if ref.APIVersion == apiVersion && ref.Kind == kind {
			ref.APIVersion, ref.Kind = apiVersion, kind
		}
		if ref.Name == s.Name {
			ref.Name = s.Name
		}
		if uid := string(ref.UID); s.Labels[UIDLabel] == uid {
			s.Labels[UIDLabel] = uid
		}
	}
}

// ownKeys are the operator's own labels and annotations: a cached Secret shares them with all others.
var ownKeys = func() map[string]string {
	keys := map[string]string{}
	for _, key := range append([]string{
		managedByLabel, UIDLabel, secretAnnotation, dataHashAnnotation, managedLabelsAnnotation, managedAnnotationsAnnotation,
	}, recordAnnotations...) {
		keys[key] = key
	}
	return keys
}()

// ours are those of a Secret's labels or annotations that this operator writes: its own, and those of the spec that it
// noted. What is longer than it would write is cut, and so is seen to differ.
func ours(all map[string]string, noted string) map[string]string {
	kept := make(map[string]string, min(len(all), len(ownKeys)))
	keep := func(key string) {
		if value, set := all[key]; set {
			kept[key] = value[:min(len(value), maxKept)]
		}
	}
	for key := range all {
		switch known, ok := ownKeys[key]; {
		case ok:
			keep(known)
		case strings.HasPrefix(key, prefix):
			keep(key)
		}
	}
	for _, key := range splitKeys(noted) {
		keep(key)
	}
	return kept
}

// maxKept bounds each label and annotation that is kept, in bytes: the longest are the managed keys, up to 32 of 253 from
// templates beside those of the formats.
const maxKept = 32*254 + 1024

// Read returns the record of a Secret, stripped or not, and whether data and record are as written. The record is nil unless
// it is whole, and where it was copied from another Secret.
func Read(s *corev1.Secret) (record *Record, intact bool) {
	record = recordIn(s.Annotations)
	if record == nil || Original(s) != "" && !namesItself(s) || intactCopy(s) {
		return nil, false
	}
	record.StoredAt, record.Adopted = record.storedAt(s.Labels), s.Annotations[adoptedAnnotation] != ""
	return record, sameHash(s.Annotations[dataHashAnnotation], contentHash(s)) || namesItself(s)
}

// Newer reports whether a stripped Secret answers the same request as the rendered one, whole and no sooner issued: it
// was written meanwhile, and must not be replaced by what is older. Of two that were issued within one second nobody can
// say which is: the one that stands there stays.
func Newer(seen, rendered *corev1.Secret) bool {
	record, intact := Read(seen)
	ours := recordIn(rendered.Annotations)
	return intact && ours != nil && record.RequestHash == ours.RequestHash && record.layoutHash == ours.layoutHash &&
		!record.IssuedAt.Before(ours.IssuedAt) && !record.ExpiresAt.Before(ours.ExpiresAt)
}
