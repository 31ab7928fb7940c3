// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package secret

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
)

// kind of the owner of every Secret, and the version that this operator writes.
const kind = "StsCredential"

var apiVersion = v1alpha1.GroupVersion.String()

// Owned reports whether a Secret is this credential's to write: it is Opaque, and its controller is this object, or one that
// was deleted and created again under its name; or it has no controller, and its owner consents or, where nobody is named
// by a consent, it carries this object's UID or names it in its record.
func Owned(s *corev1.Secret, c *v1alpha1.StsCredential) bool {
	if s.Type != corev1.SecretTypeOpaque {
		return false
	}
	if controller := metav1.GetControllerOfNoCopy(s); controller != nil {
		return isCredential(*controller) && controller.Name == c.Name
	}
	if consent, given := s.Annotations[v1alpha1.AnnotationAdopt]; given {
		return consent == c.Name
	}
	uid, labelled := s.Labels[UIDLabel]
	return labelled && (uid == string(c.UID) || s.Annotations[credentialAnnotation] == c.Namespace+"/"+c.Name)
}

// Adopted reports whether an owned Secret was there before, and was taken over with its owner's consent. Such a one has no
// StsCredential as owner, so that it is never deleted with it.
func Adopted(s *corev1.Secret) bool {
	return s.Annotations[v1alpha1.AnnotationAdopt] != "" || s.Annotations[adoptedAnnotation] != ""
}

// ForAdopted makes a rendered Secret or frame into one for an adopted Secret.
func ForAdopted(want *corev1.Secret) *corev1.Secret {
	want.OwnerReferences = nil
	if want.Data != nil {
		want.Annotations[adoptedAnnotation] = "true"
		want.Annotations[dataHashAnnotation] = dataHash(want)
	}
	return want
}

// CredentialName is the name of the StsCredential that a Secret belongs to: its controller's or, if it has none, the one its
// owner consents to or the one in its record; empty if there is none.
func CredentialName(s metav1.Object) string {
	if controller := metav1.GetControllerOfNoCopy(s); controller != nil && isCredential(*controller) {
		return controller.Name
	}
	if consent := s.GetAnnotations()[v1alpha1.AnnotationAdopt]; consent != "" {
		return consent
	}
	namespace, name, _ := strings.Cut(s.GetAnnotations()[credentialAnnotation], "/")
	if namespace != s.GetNamespace() {
		return ""
	}
	return name
}

func isCredential(ref metav1.OwnerReference) bool {
	return ref.Kind == kind && strings.HasPrefix(ref.APIVersion, v1alpha1.GroupVersion.Group+"/")
}
