// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package secret

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Holder returns the name of the StsCredential that controls a stripped Secret, if the operator made the Secret for it: its
// record is intact and names both. It is empty otherwise, as for an adopted or a retained Secret, for a copy, and for a record
// of version 1, which names no Secret.
func Holder(s *corev1.Secret) string {
	controller := metav1.GetControllerOfNoCopy(s)
	record, intact := Read(s)
	if !intact || Adopted(s) || controller == nil || !isCredential(*controller) || !namesItself(s) {
		return ""
	}
	if s.Annotations[secretAnnotation] != fullName(s) || record.Credential != s.Namespace+"/"+controller.Name {
		return ""
	}
	return controller.Name
}
