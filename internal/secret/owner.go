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

// Owned reports whether a Secret, stripped or not, is this credential's to write. It is of type Opaque, and one of these
// holds:
//   - Its controller is this object, or a deleted one of the same name, and it is no intact copy of another Secret.
//   - It has no controller, and its record names this very Secret and this object, edited or not.
//   - It has neither a controller nor a record of its own, and its owner consents.
func Owned(s *corev1.Secret, c *v1alpha1.StsCredential) bool {
	if s.Type != corev1.SecretTypeOpaque {
		return false
	}
	if controller := metav1.GetControllerOfNoCopy(s); controller != nil {
		return isCredential(*controller) && controller.Name == c.Name && !intactCopy(s)
	}
	if credential := recordedFor(s); credential != "" {
		return credential == c.Namespace+"/"+c.Name
	}
	return s.Annotations[v1alpha1.AnnotationAdopt] == c.Name
}

// Removable reports whether what was written to an owned Secret may be deleted or taken out again: its record is intact, and
// names this very Secret and this object. A record of an earlier version names no Secret; it is trusted on the Secret that
// the spec names.
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

// Adopted reports whether an owned Secret was there before, and was taken over with its owner's consent. Such a one has no
// StsCredential as owner, so that it is never deleted with it. In doubt, a Secret without controller is adopted: what was
// written to it is taken out, and the rest stays.
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
	return !intact || recordedFor(s) == ""
}

// ForAdopted makes a rendered Secret or frame into one for an adopted Secret.
func ForAdopted(want *corev1.Secret) *corev1.Secret {
	want.OwnerReferences = nil
	if want.Data != nil {
		want.Annotations[adoptedAnnotation] = "true"
		want.Annotations[dataHashAnnotation] = dataHashes(want)
	}
	return want
}

// CredentialName is the name of the StsCredential that a Secret belongs to: its controller's or, if it has none, the one in
// its own record, the one its owner consents to, or the one in a record that was copied; empty if there is none.
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

// RecordedFor returns the name of the StsCredential that a Secret without controller belongs to by its own record, which is
// intact or names this very Secret; empty if there is none.
func RecordedFor(s *corev1.Secret) string {
	_, name, _ := strings.Cut(recordedFor(s), "/")
	return name
}

func recordedFor(s *corev1.Secret) string {
	credential := s.Annotations[CredentialAnnotation]
	namespace, name, _ := strings.Cut(credential, "/")
	if namespace != s.Namespace || name == "" {
		return ""
	}
	if s.Annotations[secretAnnotation] == fullName(s) {
		return credential
	}
	if _, intact := Read(s); intact && unnamed(s) {
		return credential
	}
	return ""
}

// objectName is "<namespace>/<name>".
var objectName = regexp.MustCompile(`^[a-z0-9][-a-z0-9]{0,62}/[a-z0-9][-a-z0-9.]{0,252}$`)

// Original returns the "<namespace>/<name>" of the Secret that a record names, if that is another one than this: its record
// was copied, or edited. It is empty if the record names this Secret, or no Secret.
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

// intactCopy reports whether a Secret holds what was written to another one, with its record: it is not an edited one.
func intactCopy(s *corev1.Secret) bool {
	if OriginalCredential(s) != "" && sameHash(s.Annotations[dataHashAnnotation], contentHash(s)) {
		return true
	}
	original := Original(s)
	return original != "" && !namesItself(s) &&
		version2+ofVersion(version2, s.Annotations[dataHashAnnotation]) == namedHash(contentHash(s), original)
}

// namesItself reports whether the data hash is that of this very Secret, by its version 2.
func namesItself(s *corev1.Secret) bool {
	return version2+ofVersion(version2, s.Annotations[dataHashAnnotation]) == namedHash(contentHash(s), fullName(s))
}

// unnamed reports whether an operator wrote the record that records no Secret's name.
func unnamed(s *corev1.Secret) bool {
	return s.Annotations[secretAnnotation] == "" && ofVersion(version2, s.Annotations[dataHashAnnotation]) == ""
}

// fullName returns "<namespace>/<name>".
func fullName(s metav1.Object) string { return s.GetNamespace() + "/" + s.GetName() }

func isCredential(ref metav1.OwnerReference) bool {
	return ref.Kind == kind && strings.HasPrefix(ref.APIVersion, v1alpha1.GroupVersion.Group+"/")
}
