// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package secret turns a session and a spec into the Secret to write, and reads back what a Secret says of itself. It is
// pure: it talks to nobody.
package secret

import (
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/credentials"
)

// Render is the whole Secret for a session: metadata, record and data. request is what the session answers. It fails only
// where the templates make too much of the session.
func Render(c *v1alpha1.StsCredential, l Layout, s credentials.Credentials, request Request, o Occasion) (*corev1.Secret, error) {
	data, err := l.data(s, request.RoleARN)
	if err != nil {
		return nil, err
	}
	rendered := Frame(c)
	rendered.Data = data
	record := newRecord(c.Namespace+"/"+c.Name, s, request.Hash(), o)
	record.layoutHash, record.managedKeys = l.hash, slices.Sorted(maps.Keys(data))
	maps.Copy(rendered.Annotations, record.annotations())
	rendered.Annotations[secretAnnotation] = fullName(rendered)
	rendered.Annotations[dataHashAnnotation] = dataHashes(rendered)
	return rendered, nil
}

// Frame is the Secret without record and data: what changes by patch, without a call to STS.
func Frame(c *v1alpha1.StsCredential) *corev1.Secret {
	frame := &corev1.Secret{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
		ObjectMeta: metav1.ObjectMeta{
			Namespace:   c.Namespace,
			Name:        c.SecretName(),
			Labels:      map[string]string{},
			Annotations: map[string]string{},
		},
		Type: corev1.SecretTypeOpaque,
	}
	if c.Spec.Secret.DeletionPolicy != v1alpha1.DeletionPolicyRetain {
		frame.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(c, v1alpha1.GroupVersion.WithKind(kind))}
	}
	for k, v := range c.Spec.Secret.Labels {
		frame.Labels[k] = string(v)
	}
	for k, v := range c.Spec.Secret.Annotations {
		frame.Annotations[k] = string(v)
	}
	note := func(annotation string, keys []string) {
		if len(keys) > 0 {
			frame.Annotations[annotation] = strings.Join(keys, ",")
		}
	}
	note(managedLabelsAnnotation, slices.Sorted(maps.Keys(c.Spec.Secret.Labels)))
	note(managedAnnotationsAnnotation, slices.Sorted(maps.Keys(c.Spec.Secret.Annotations)))
	frame.Labels[managedByLabel] = managedBy
	frame.Labels[UIDLabel] = string(c.UID)
	return frame
}
