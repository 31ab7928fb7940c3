// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/rollout"
	"github.com/stscredential/sts-credential-operator/internal/secret"
)

// CacheOptions is what the Reconciler wants of its client's cache: only the operator's own Secrets, and those without
// their data, and of pods what they read (none are cached unless they are watched). namespaces limits it to those, none means all; selector chooses among StsCredentials.
func CacheOptions(namespaces []string, selector labels.Selector) (cache.Options, error) {
	ours, err := labels.NewRequirement(secret.UIDLabel, selection.Exists, nil)
	if err != nil {
		return cache.Options{}, err
	}
	options := cache.Options{
		DefaultTransform: cache.TransformStripManagedFields(),
		ByObject: map[client.Object]cache.ByObject{
			&corev1.Secret{}:          {Label: labels.NewSelector().Add(*ours), Transform: secret.Strip},
			&v1alpha1.StsCredential{}: {Label: selector, Transform: stripCredential},
			&corev1.Pod{}:             {Transform: rollout.Strip},
		},
	}
	for _, namespace := range namespaces {
		if options.DefaultNamespaces == nil {
			options.DefaultNamespaces = map[string]cache.Config{}
		}
		options.DefaultNamespaces[namespace] = cache.Config{}
	}
	return options, nil
}

// stripCredential keeps of a StsCredential's annotations the one that is read, and drops its type: reading from the cache
// puts that back.
func stripCredential(object any) (any, error) {
	c, ok := object.(*v1alpha1.StsCredential)
	if !ok {
		return object, nil
	}
	wish := secret.RenewRequest(c.Annotations[v1alpha1.AnnotationRenewRequestedAt])
	c.TypeMeta, c.ManagedFields, c.Annotations = metav1.TypeMeta{}, nil, nil
	if wish != "" {
		c.Annotations = map[string]string{v1alpha1.AnnotationRenewRequestedAt: wish}
	}
	return c, nil
}
