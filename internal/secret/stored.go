// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package secret

import (
	"bytes"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Field managers of the operator's writes. The API server notes for each when it wrote last, by its own clock. Labels and
// owners have one of their own, so that a change of theirs does not look like new credentials. Versions that named no manager
// wrote everything as "sts-credential-operator", after their user agent; their times say nothing of credentials.
const (
	CredentialsManager = "sts-credential-operator-credentials" //nolint:gosec // it is a name
	MetadataManager    = "sts-credential-operator-metadata"
)

// FieldManager is the field manager that writes a Secret or a frame.
func FieldManager(want *corev1.Secret) string {
	if want.Data != nil {
		return CredentialsManager
	}
	return MetadataManager
}

// storedLabel is where a stripped Secret keeps when the API server stored the credentials: among the labels, as what no
// label can be called.
const storedLabel = "time of the write"

// ownedWrittenAt is how managed fields list the annotation that changes with each write of credentials.
var ownedWrittenAt = []byte(`"f:` + writtenAtAnnotation + `"`)

// storedAt is when the API server stored the credentials in a Secret, by its clock; empty where that is not known, as in a
// Secret that an older version wrote or that was restored from a copy.
func storedAt(managed []metav1.ManagedFieldsEntry) string {
	for _, e := range managed {
		if e.Manager == CredentialsManager && e.Operation == metav1.ManagedFieldsOperationUpdate && e.Time != nil && e.FieldsV1 != nil &&
			bytes.Contains(e.FieldsV1.GetRawBytes(), ownedWrittenAt) {
			return e.Time.UTC().Format(time.RFC3339)
		}
	}
	return ""
}

// storedAt returns when the API server stored what a stripped Secret holds, by its clock; otherwise, where that is not
// known, by the operator's.
func (r *Record) storedAt(stripped map[string]string) time.Time {
	at, err := time.Parse(time.RFC3339, stripped[storedLabel])
	if err != nil {
		return r.WrittenAt
	}
	return at
}

// storedOrWritten is StoredAt of a record that was read, and WrittenAt of one that was made up.
func (r *Record) storedOrWritten() time.Time {
	if r.StoredAt.IsZero() {
		return r.WrittenAt
	}
	return r.StoredAt
}
