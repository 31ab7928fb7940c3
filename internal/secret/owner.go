// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package secret

import (
	"regexp"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
)

// kind is the kind of the owner of every Secret.
const kind = "StsCredential"

// Owned reports whether this StsCredential may write to a Secret, stripped or not. Its type must be Opaque, and one of these
// must hold:
//   - Its controller is this object, or a deleted one of the same name, and it is not an intact copy of another Secret.
//   - It has no controller, and its record names this very Secret and this object, edited or not.
//   - It has neither a controller nor a record of its own, and its owner consents.
func Owned(s *corev1.Secret, c *v1alpha1.StsCredential) bool {
	if s.Type != corev1.SecretTypeOpaque {
		return false
	}
	if controller := metav1.GetControllerOfNoCopy(s); controller != nil {
		return isCredential(*controller) && controller.Name == c.Name && !intactCopy(s)
	}
	if name := RecordedFor(s); name != "" {
		return s.Namespace == c.Namespace && name == c.Name
	}
	return s.Annotations[v1alpha1.AnnotationAdopt] == c.Name
}

// Removable reports whether an owned Secret may be deleted, or the operator's keys removed from it: its record is intact, and
// names this Secret and this object. A record of an earlier version names no Secret; it is trusted on the Secret that the spec
// names.
func Removable(s *corev1.Secret, c *v1alpha1.StsCredential) bool {
	record, intact := Read(s)
	if !intact || record.Credential != c.Namespace+"/"+c.Name || !Owned(s, c) {
		return false
	}
	named := s.Annotations[secretAnnotation]
	if ofVersion(version2, s.Annotations[dataHashAnnotation]) == "" {
		return s.Name == c.SecretName() && (named == "" || named == fullName(s))
	}
	return named == fullName(s) && namesItself(s)
}

// Adopted reports whether an owned Secret existed before and was adopted with its owner's consent. An adopted Secret has no
// StsCredential as owner, so that it is never deleted with it. In doubt, a Secret without a controller counts as adopted: only
// the operator's keys are removed from it.
func Adopted(s *corev1.Secret) bool {
	recorded, consent := s.Annotations[adoptedAnnotation] != "", s.Annotations[v1alpha1.AnnotationAdopt] != ""
	controlled := metav1.GetControllerOfNoCopy(s) != nil
	switch {
	case recorded && !controlled:
		return true
	case recorded:
		_, intact := Read(s)
		return intact
	case controlled || !consent:
		return false
	}
	_, intact := Read(s)
	return !intact || RecordedFor(s) == ""
}

// ForAdopted changes a desired Secret, whole or its metadata only, to one for an adopted Secret.
func ForAdopted(desired *corev1.Secret) *corev1.Secret {
	desired.OwnerReferences = nil
	if desired.Data != nil {
		desired.Annotations[adoptedAnnotation] = "true"
		desired.Annotations[dataHashAnnotation] = dataHashes(desired)
	}
	return desired
}

// CredentialName returns the name of the StsCredential that a Secret belongs to: that of its controller or, if it has none, of
// its own record, of its owner's consent, or of a copied record; empty if there is none.
func CredentialName(s metav1.Object) string {
	if controller := metav1.GetControllerOfNoCopy(s); controller != nil && isCredential(*controller) {
		return controller.Name
	}
	consent := s.GetAnnotations()[v1alpha1.AnnotationAdopt]
	if consent != "" && s.GetAnnotations()[secretAnnotation] != fullName(s) {
		return consent
	}
	namespace, name, _ := strings.Cut(s.GetAnnotations()[CredentialAnnotation], "/")
	if namespace != s.GetNamespace() {
		return consent
	}
	return name
}

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

// RecordedFor returns the name of the StsCredential in the record of a Secret without a controller, if the record is intact or
// names this Secret; empty otherwise.
func RecordedFor(s *corev1.Secret) string {
	namespace, name, _ := strings.Cut(s.Annotations[CredentialAnnotation], "/")
	if namespace != s.Namespace {
		return ""
	}
	if s.Annotations[secretAnnotation] == fullName(s) {
		return name
	}
	if _, intact := Read(s); intact && unnamed(s) {
		return name
	}
	return ""
}

// objectName is "<namespace>/<name>".
var objectName = regexp.MustCompile(`^[a-z0-9][-a-z0-9]{0,62}/[a-z0-9][-a-z0-9.]{0,252}$`)

// Original returns the "<namespace>/<name>" of another Secret that the record names: the record was copied or edited. It is
// empty if the record names this Secret or none.
func Original(s *corev1.Secret) string {
	if named := s.Annotations[secretAnnotation]; named != fullName(s) && objectName.MatchString(named) {
		return named
	}
	return ""
}

// OriginalCredential returns the "<namespace>/<name>" of the StsCredential of another namespace that a record names; empty
// if there is none.
func OriginalCredential(s *corev1.Secret) string {
	credential := s.Annotations[CredentialAnnotation]
	if namespace, _, _ := strings.Cut(credential, "/"); namespace != s.Namespace && objectName.MatchString(credential) {
		return credential
	}
	return ""
}

// intactCopy reports whether a Secret is an unedited copy of another one, with its record.
func intactCopy(s *corev1.Secret) bool {
	if OriginalCredential(s) != "" && sameHash(s.Annotations[dataHashAnnotation], contentHash(s)) {
		return true
	}
	original := Original(s)
	return original != "" && !namesItself(s) &&
		version2+ofVersion(version2, s.Annotations[dataHashAnnotation]) == namedHash(contentHash(s), original)
}

// namesItself reports whether version 2 of the data hash is that of this Secret.
func namesItself(s *corev1.Secret) bool {
	return version2+ofVersion(version2, s.Annotations[dataHashAnnotation]) == namedHash(contentHash(s), fullName(s))
}

// unnamed reports whether an operator wrote the record that does not record the Secret's name.
func unnamed(s *corev1.Secret) bool {
	return s.Annotations[secretAnnotation] == "" && ofVersion(version2, s.Annotations[dataHashAnnotation]) == ""
}

// fullName returns "<namespace>/<name>".
func fullName(s metav1.Object) string { return s.GetNamespace() + "/" + s.GetName() }

func isCredential(ref metav1.OwnerReference) bool {
	return ref.Kind == kind && strings.HasPrefix(ref.APIVersion, v1alpha1.GroupVersion.Group+"/")
}
