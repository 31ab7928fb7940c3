// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package secret renders the Secret for issued credentials and a spec, and reads the record on a Secret. It makes no request.
package secret

import (
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/credentials"
)

// WriteOptions are what a write records besides the issued credentials.
type WriteOptions struct {
	// RenewRequest is the renew request that the write handles, see the function; empty if there is none.
	RenewRequest string
	// At is the time of the write by the operator's clock. Zero leaves it out.
	At time.Time
	// Before is the record of the credentials that are replaced; nil if there are none.
	Before *Record
}

// Render returns the whole Secret for issued credentials: metadata, record and data. request is the request that STS answered.
// The error says that the output of the templates is too long.
func Render(c *v1alpha1.StsCredential, l Layout, s credentials.Credentials, request Request, o WriteOptions) (*corev1.Secret, error) {
	data, err := l.data(s, request.RoleARN)
	if err != nil {
		return nil, err
	}
	rendered := Metadata(c)
	rendered.Data = data
	record := Record{layoutHash: l.hash, managedKeys: slices.Sorted(maps.Keys(data)), Record: credentials.Record{
		Credential:          c.Namespace + "/" + c.Name,
		IssuedAt:            s.IssuedAt.UTC().Truncate(time.Second),
		ExpiresAt:           s.ExpiresAt.UTC().Truncate(time.Second),
		RequestID:           s.RequestID,
		AccessKeyID:         credentials.ShownAccessKeyID(s.AccessKeyID),
		AssumedRoleARN:      s.AssumedRoleARN,
		AssumedRoleID:       s.AssumedRoleID,
		RequestHash:         request.Hash(),
		HandledRenewRequest: o.RenewRequest,
		WrittenAt:           o.At,
		Replaced:            o.Before.replacedBy(s.IssuedAt),
	}}
	maps.Copy(rendered.Annotations, record.annotations())
	rendered.Annotations[secretAnnotation] = fullName(rendered)
	rendered.Annotations[dataHashAnnotation] = dataHashes(rendered)
	return rendered, nil
}

// Metadata returns the desired Secret without record and data: what is written without a call to STS.
func Metadata(c *v1alpha1.StsCredential) *corev1.Secret {
	desired := &corev1.Secret{
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
		desired.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(c, v1alpha1.GroupVersion.WithKind(kind))}
	}
	for k, v := range c.Spec.Secret.Labels {
		desired.Labels[k] = string(v)
	}
	for k, v := range c.Spec.Secret.Annotations {
		desired.Annotations[k] = string(v)
	}
	list := func(annotation string, keys []string) {
		if len(keys) > 0 {
			desired.Annotations[annotation] = strings.Join(keys, ",")
		}
	}
	list(managedLabelsAnnotation, slices.Sorted(maps.Keys(c.Spec.Secret.Labels)))
	list(managedAnnotationsAnnotation, slices.Sorted(maps.Keys(c.Spec.Secret.Annotations)))
	desired.Labels[managedByLabel] = managedBy
	desired.Labels[UIDLabel] = string(c.UID)
	return desired
}
