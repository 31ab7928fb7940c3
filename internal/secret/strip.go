// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package secret

import (
	"bytes"
	"cmp"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
)

// strippedHash is the key, which is no valid label, under which the labels of a stripped Secret hold the hash of its data.
const strippedHash = "hash of the data"

// storedLabel is the key, which is no valid label, under which the labels of a stripped Secret hold the time at which the API
// server stored the credentials.
const storedLabel = "time of the write"

// ownedWrittenAt is the entry in managed fields of the annotation that changes with each write of credentials.
var ownedWrittenAt = []byte(`"f:` + writtenAtAnnotation + `"`)

// hashed is the prefix of the hash of an annotation's value in a stripped Secret.
const hashed = "hash of the value: "

// stripped marks a stripped Secret, in the one field that the API server never returns, so that it cannot be forged.
var stripped = map[string]string{}

// Bounds of a stripped Secret. Lengths are in bytes.
const (
	// maxListed and maxList bound the lists of keys in annotations. The longest is that of the managed keys: up to 32 of 253
	// bytes from templates, and those of the formats.
	maxListed = 96
	maxList   = 32*254 + 1024
	// maxName bounds names of objects, maxHashes the hashes of all versions, maxOwners the number of owners, maxValue any other
	// value of a record.
	maxName   = 253
	maxValue  = 512
	maxHashes = 512
	maxOwners = 8
	// maxPlain bounds an annotation from the spec that is kept; a longer one is replaced by its hash.
	maxPlain = 64
	// maxHashedData bounds the data that is hashed: the operator writes less, so longer data was edited.
	maxHashedData = maxOutput + 64<<10
)

// Strip is a cache transform. It replaces the data of a Secret by its hash, and keeps only the metadata that the operator
// reads, each value within a bound. So the operator's memory holds no credentials, and does not grow with the size of
// Secrets. A value that exceeds its bound is cut to one byte more than the bound, so that it never counts as valid. Read and
// Patch need stripped Secrets. Other objects, and stripped Secrets, are returned unchanged.
func Strip(object any) (any, error) {
	s, ok := object.(*corev1.Secret)
	if !ok || s.StringData != nil {
		return object, nil
	}
	hash := boundedHash(s)
	s.Data, s.StringData = nil, stripped
	if s.Type != corev1.SecretTypeOpaque {
		s.Type = corev1.SecretType(cut(string(s.Type), maxName))
	}
	labels := boundedLabels(s)
	labels[strippedHash] = hash
	if stored := storedAt(s.ManagedFields); stored != "" {
		labels[storedLabel] = stored
	}
	s.ObjectMeta = metav1.ObjectMeta{
		Namespace: s.Namespace, Name: s.Name, UID: s.UID, ResourceVersion: s.ResourceVersion,
		CreationTimestamp: s.CreationTimestamp, DeletionTimestamp: s.DeletionTimestamp,
		Labels: labels, Annotations: boundedAnnotations(s), OwnerReferences: boundedOwners(s.OwnerReferences),
	}
	return s, nil
}

// cut returns a text or, if it exceeds the bound, a copy of its first bytes that exceeds the bound by one byte.
func cut(text string, bound int) string {
	if len(text) <= bound {
		return text
	}
	return strings.Clone(text[:bound+1])
}

// bounds are the maximum lengths of the annotations that the operator reads, by name. A longer value was edited.
var bounds = func() map[string]int {
	all := map[string]int{
		secretAnnotation: maxValue, dataHashAnnotation: maxHashes, managedLabelsAnnotation: maxList, managedAnnotationsAnnotation: maxList,
		v1alpha1.AnnotationAdopt: maxName,
		requestIDAnnotation:      128, accessKeyIDAnnotation: 256, assumedRoleIDAnnotation: 256, managedKeysAnnotation: maxList, // as in the status
	}
	for _, key := range recordAnnotations {
		all[key] = cmp.Or(all[key], maxValue)
	}
	return all
}()

// tooLong reports whether a value of the record exceeds its bound.
func tooLong(annotations map[string]string) bool {
	return slices.ContainsFunc(recordAnnotations, func(key string) bool { return len(annotations[key]) > bounds[key] })
}

// boundedAnnotations returns the operator's annotations, cut to their bounds, and those from the spec.
func boundedAnnotations(s *corev1.Secret) map[string]string {
	kept := make(map[string]string, min(len(s.Annotations), len(bounds)))
	for key, bound := range bounds {
		if value, set := s.Annotations[key]; set {
			kept[key] = cut(value, bound)
			if strings.HasPrefix(value, hashed) {
				kept[key] = hashOf(value)
			}
		}
	}
	for _, key := range listedIn(kept, managedAnnotationsAnnotation) {
		if value, set := s.Annotations[key]; set && bounds[key] == 0 {
			kept[key] = value
			if len(value) > maxPlain || strings.HasPrefix(value, hashed) {
				kept[key] = hashOf(value)
			}
		}
	}
	return kept
}

// boundedLabels returns the operator's labels and those from the spec; the API server bounds their values.
func boundedLabels(s *corev1.Secret) map[string]string {
	kept := make(map[string]string, 4)
	for _, key := range append([]string{UIDLabel, managedByLabel}, listedIn(s.Annotations, managedLabelsAnnotation)...) {
		if value, set := s.Labels[key]; set {
			kept[key] = cut(value, maxName)
		}
	}
	return kept
}

// boundedOwners returns the controller, of any kind, and StsCredentials. Patch does not change other owners.
func boundedOwners(all []metav1.OwnerReference) (kept []metav1.OwnerReference) {
	for _, ref := range all {
		controls := ptr.Deref(ref.Controller, false)
		if !controls && (!isCredential(ref) || len(kept) == maxOwners) {
			continue
		}
		ref.APIVersion, ref.Kind = cut(ref.APIVersion, maxName), cut(ref.Kind, maxName)
		ref.Name, ref.UID = cut(ref.Name, maxName), types.UID(cut(string(ref.UID), maxName))
		kept = append(kept, ref)
	}
	return kept
}

// storedAt returns when the API server stored the credentials in a Secret, by its clock; empty if that is not known, as for a
// Secret that an earlier version wrote, or that was restored from a copy.
func storedAt(managed []metav1.ManagedFieldsEntry) string {
	for _, e := range managed {
		if e.Manager == CredentialsManager && e.Operation == metav1.ManagedFieldsOperationUpdate && e.Time != nil && e.FieldsV1 != nil &&
			bytes.Contains(e.FieldsV1.GetRawBytes(), ownedWrittenAt) {
			return e.Time.UTC().Format(time.RFC3339)
		}
	}
	return ""
}

// hashOf returns the hash that replaces a long value.
func hashOf(value string) string { return hashed + sum([]byte(value)) }

// boundedHash returns the hash of a Secret's data and record. It is empty, which is no valid hash, if they are longer than any
// that the operator writes.
func boundedHash(s *corev1.Secret) string {
	size := 0
	for _, key := range listedIn(s.Annotations, managedKeysAnnotation) {
		size += len(s.Data[key])
	}
	if size > maxHashedData || tooLong(s.Annotations) {
		return ""
	}
	return dataHash(s)
}

// listedIn returns the keys that an annotation lists; none if it is longer than any that the operator writes. Keys that start
// with "$" are left out: they are not valid, and would be directives in a patch.
func listedIn(annotations map[string]string, annotation string) []string {
	joined := annotations[annotation]
	if len(joined) > maxList || strings.Count(joined, ",") >= maxListed {
		return nil
	}
	keys := strings.FieldsFunc(joined, func(r rune) bool { return r == ',' })
	return slices.DeleteFunc(keys, func(key string) bool { return strings.HasPrefix(key, "$") })
}

// Read returns the record of a Secret, stripped or not, and whether data and record are as written. The record is nil if it is
// incomplete or was copied from another Secret.
func Read(s *corev1.Secret) (record *Record, intact bool) {
	record = recordIn(s.Annotations)
	if record == nil || Original(s) != "" && !namesItself(s) || intactCopy(s) {
		return nil, false
	}
	record.StoredAt, record.Adopted = record.WrittenAt, s.Annotations[adoptedAnnotation] != ""
	if stored, ok := parseTime(s.Labels[storedLabel]); ok {
		record.StoredAt = stored
	}
	return record, sameHash(s.Annotations[dataHashAnnotation], contentHash(s)) || namesItself(s)
}

// Newer reports whether an existing Secret, stripped, is intact, answers the same request as the rendered one, and was not
// issued before it: another client wrote it meanwhile, and older credentials must not replace it. If both were issued within
// one second, their order is unknown, and the existing one stays.
func Newer(existing, rendered *corev1.Secret) bool {
	record, intact := Read(existing)
	desired := recordIn(rendered.Annotations)
	return intact && desired != nil && record.RequestHash == desired.RequestHash && record.layoutHash == desired.layoutHash &&
		!record.IssuedAt.Before(desired.IssuedAt) && !record.ExpiresAt.Before(desired.ExpiresAt)
}
