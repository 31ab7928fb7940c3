// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package secret

import corev1 "k8s.io/api/core/v1"

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
