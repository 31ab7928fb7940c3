// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package secret

import corev1 "k8s.io/api/core/v1"

// Altered compares a Secret that came back from a write, stripped, with the one that was sent: admission may have changed it
// on the way. It returns what differs, for messages; empty if all of it is as it was sent.
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
