// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package secret

import (
	"bytes"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

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

// storedLabel is the key, which is no valid label, under which the labels of a stripped Secret hold the time at which the API
// server stored the credentials.
const storedLabel = "time of the write"

// ownedWrittenAt is the entry in managed fields of the annotation that changes with each write of credentials.
var ownedWrittenAt = []byte(`"f:` + writtenAtAnnotation + `"`)

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

// storedAt returns when the API server stored the credentials in a stripped Secret, by its clock; WrittenAt if that is not
// known.
func (r *Record) storedAt(stripped map[string]string) time.Time {
	at, err := time.Parse(time.RFC3339, stripped[storedLabel])
	if err != nil {
		return r.WrittenAt
	}
	return at
}

// storedOrWritten returns StoredAt of a record that was read, and WrittenAt of one that was made from a status.
func (r *Record) storedOrWritten() time.Time {
	if r.StoredAt.IsZero() {
		return r.WrittenAt
	}
	return r.StoredAt
}
