// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stscredential

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/selection"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/consumers"
	"github.com/stscredential/sts-credential-operator/internal/paging"
	"github.com/stscredential/sts-credential-operator/internal/rampolicy"
	"github.com/stscredential/sts-credential-operator/internal/secret"
)

// CacheOptions returns the options of the manager's cache. The cache holds only Secrets with the operator's label, without
// their data. Of each object it holds only the fields that the operator reads, each within a bound. It holds pods only if
// they are watched. Lists are fetched in pages; the size of a page is bounded if the requests go through
// paging.RoundTripper. namespaces are the namespaces to watch; empty means all. selector selects StsCredentials.
func CacheOptions(namespaces []string, selector labels.Selector) (cache.Options, error) {
	managed, err := labels.NewRequirement(secret.UIDLabel, selection.Exists, nil)
	if err != nil {
		return cache.Options{}, err
	}
	lister := paging.NewLister(strip)
	options := cache.Options{
		DefaultTransform: strip,
		ByObject: map[client.Object]cache.ByObject{
			&corev1.Secret{}:          {Label: labels.NewSelector().Add(*managed)},
			&v1alpha1.StsCredential{}: {Label: selector},
		},
		NewInformer: func(lw toolscache.ListerWatcher, object runtime.Object, resync time.Duration, indexers toolscache.Indexers) toolscache.SharedIndexInformer {
			return toolscache.NewSharedIndexInformer(lister.Wrap(lw), object, resync, indexers)
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

// strip is the cache's transform: it drops the fields that the operator does not read. It is idempotent.
func strip(object any) (any, error) {
	switch o := object.(type) {
	case *corev1.Secret:
		return secret.Strip(o)
	case *corev1.Pod:
		return consumers.Strip(o)
	case *v1alpha1.StsCredential:
		stripCredential(o)
	case *v1alpha1.StsRoleGrant:
		stripGrant(o)
	case client.Object:
		stripMetadata(o)
	}
	return object, nil
}

// maxConditions and maxCondition bound the conditions that are kept, and in bytes the message of each. The operator's own
// are fewer and shorter; no other client may write to the status.
const maxConditions, maxCondition = 16, 1024

// stripCredential drops the fields of an StsCredential that the operator does not read. Finalizers of other clients are
// dropped, too, so a write of finalizers must start from an uncached read. A policy that is too large is replaced by its
// size.
func stripCredential(c *v1alpha1.StsCredential) {
	kept := metav1.ObjectMeta{
		Namespace: c.Namespace, Name: c.Name, UID: c.UID, ResourceVersion: c.ResourceVersion, Generation: c.Generation,
		CreationTimestamp: c.CreationTimestamp, DeletionTimestamp: c.DeletionTimestamp,
	}
	if requested := secret.RenewRequest(c.Annotations[v1alpha1.AnnotationRenewRequestedAt]); requested != "" {
		kept.Annotations = map[string]string{v1alpha1.AnnotationRenewRequestedAt: requested}
	}
	if slices.Contains(c.Finalizers, v1alpha1.FinalizerAdoptedSecret) {
		kept.Finalizers = []string{v1alpha1.FinalizerAdoptedSecret}
	}
	c.TypeMeta, c.ObjectMeta = metav1.TypeMeta{}, kept // reading from the cache puts the type back
	cutPolicy(c.Spec.Policy)
	conditions := c.Status.Conditions
	c.Status.Conditions = conditions[:min(len(conditions), maxConditions)]
	for i := range c.Status.Conditions {
		if message := &c.Status.Conditions[i].Message; len(*message) > maxCondition {
			*message = strings.ToValidUTF8(strings.Clone((*message)[:maxCondition]), "")
		}
	}
}

// stripGrant drops what the operator does not read of an StsRoleGrant.
func stripGrant(g *v1alpha1.StsRoleGrant) {
	stripMetadata(g)
	cutPolicy(g.Spec.Policy)
}

func cutPolicy(policy *runtime.RawExtension) {
	if policy != nil {
		policy.Raw = rampolicy.Truncate(policy.Raw)
	}
}

// stripMetadata drops what is not read of any object. Labels stay: those of a namespace decide what it is granted, and its
// users cannot write them.
func stripMetadata(o client.Object) {
	o.SetManagedFields(nil)
	o.SetAnnotations(nil)
	o.SetFinalizers(nil)
	o.SetOwnerReferences(nil)
}

// namespaceMetadata is what the cache keeps of a namespace.
func namespaceMetadata() *metav1.PartialObjectMetadata {
	m := &metav1.PartialObjectMetadata{}
	m.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	return m
}

// The indexes of the cache.
const (
	// bySecretName indexes the StsCredentials whose Secret has another name than they have, by that name.
	bySecretName = "secretName"
	// byIdentity indexes the StsCredentials by the Secret whose AccessKey they call STS with.
	byIdentity = "accessKeyIn"
	// byCredential indexes the Secrets that have another name than the StsCredential that they were written for, by its UID.
	// Most have the same, and need no index.
	byCredential = "writtenFor"
)

// IndexSecrets gives the cache the indexes that find the Secrets of an StsCredential whatever their names, the StsCredentials
// by the name of their Secret, and those that read an AccessKey from a Secret.
func IndexSecrets(ctx context.Context, indexer client.FieldIndexer) error {
	return errors.Join(
		indexer.IndexField(ctx, &v1alpha1.StsCredential{}, bySecretName, otherSecretName),
		indexer.IndexField(ctx, &v1alpha1.StsCredential{}, byIdentity, accessKeyIn),
		indexer.IndexField(ctx, &corev1.Secret{}, byCredential, writtenFor),
	)
}

func otherSecretName(o client.Object) []string {
	if c := o.(*v1alpha1.StsCredential); c.SecretName() != c.Name {
		return []string{c.SecretName()}
	}
	return nil
}

func accessKeyIn(o client.Object) []string {
	c, ok := o.(*v1alpha1.StsCredential)
	if !ok || c.Spec.Identity == nil || c.Spec.Identity.AccessKey == nil {
		return nil
	}
	return []string{c.Spec.Identity.AccessKey.SecretName}
}

func writtenFor(s client.Object) []string {
	if s.GetName() == secret.CredentialName(s) {
		return nil
	}
	return []string{s.GetLabels()[secret.UIDLabel]}
}
