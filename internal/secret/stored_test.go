// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package secret

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Versions that named no field manager wrote labels and credentials under one: the time of such a write is not taken for that
// of the credentials, which would make pods look stale after an upgrade.
func TestTimesOfEarlierVersionsAreNotTrusted(t *testing.T) {
	written, later := metav1.NewTime(time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)), metav1.NewTime(time.Date(2026, 1, 1, 13, 0, 0, 0, time.UTC))
	entry := func(manager string, at metav1.Time) metav1.ManagedFieldsEntry {
		return metav1.ManagedFieldsEntry{Manager: manager, Operation: metav1.ManagedFieldsOperationUpdate, Time: &at,
			FieldsV1: metav1.NewFieldsV1(`{"f:metadata":{"f:annotations":{"f:` + writtenAtAnnotation + `":{}}}}`)}
	}
	for name, tt := range map[string]struct {
		managed []metav1.ManagedFieldsEntry
		want    string
	}{
		"this version":                     {[]metav1.ManagedFieldsEntry{entry(CredentialsManager, written)}, "2026-01-01T12:00:00Z"},
		"an earlier version":               {[]metav1.ManagedFieldsEntry{entry("sts-credential-operator", later)}, ""},
		"an earlier version after this":    {[]metav1.ManagedFieldsEntry{entry(CredentialsManager, written), entry("sts-credential-operator", later)}, "2026-01-01T12:00:00Z"},
		"metadata written by this version": {[]metav1.ManagedFieldsEntry{entry(MetadataManager, later)}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{ManagedFields: tt.managed}}
			if got := storedAt(s.ManagedFields); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
