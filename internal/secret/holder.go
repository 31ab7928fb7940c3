// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package secret

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
)

// Holder returns the name of the StsCredential that a stripped Secret was made for, if the operator made it and its record is
// intact and names this very Secret; otherwise it is empty, as for an adopted Secret.
func Holder(s *corev1.Secret) string {
	record, _ := Read(s)
	if record == nil || Adopted(s) {
		return ""
	}
	namespace, name, _ := strings.Cut(record.Credential, "/")
	holder := &v1alpha1.StsCredential{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	holder.Spec.Secret.Name = s.Name
	if namespace != s.Namespace || !Removable(s, holder) {
		return ""
	}
	return name
}
