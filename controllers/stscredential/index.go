// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stscredential

import (
	"context"
	"errors"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/secret"
)

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
// that want a name, and those that read an AccessKey from a Secret.
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
