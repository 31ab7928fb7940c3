// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stscredential

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/secret"
)

// bySecretName indexes the cached StsCredentials whose Secret has another name than they have, by that name.
const bySecretName = "secretName"

func indexSecretNames(ctx context.Context, indexer client.FieldIndexer) error {
	return indexer.IndexField(ctx, &v1alpha1.StsCredential{}, bySecretName, func(o client.Object) []string {
		if c := o.(*v1alpha1.StsCredential); c.SecretName() != c.Name {
			return []string{c.SecretName()}
		}
		return nil
	})
}

// takeOver decides about a stripped Secret that is not this StsCredential's: it takes over one that the operator made for an
// StsCredential that does not want it any more. Everything else is a conflict. Nothing is written before STS has answered.
func (r *Reconciler) takeOver(ctx context.Context, t target, found *corev1.Secret) (existing, error) {
	free, err := superseded(ctx, r.Live, found)
	switch {
	case err != nil:
		return existing{}, err
	case !free:
		return existing{}, conflictWith(found, t.credential.Name)
	}
	e := readExisting(found)
	e.takenOver = true
	return e, nil
}

// superseded reports whether the StsCredential that a stripped Secret was made for is gone or going, or names another Secret.
// It is read live: the cache may be behind, or select others.
func superseded(ctx context.Context, live client.Reader, s *corev1.Secret) (bool, error) {
	name := secret.Holder(s)
	if name == "" {
		return false, nil
	}
	holder := &v1alpha1.StsCredential{}
	if err := live.Get(ctx, types.NamespacedName{Namespace: s.Namespace, Name: name}, holder); err != nil {
		if client.IgnoreNotFound(err) == nil {
			return true, nil
		}
		return false, fmt.Errorf("read StsCredential %s/%s: %w", s.Namespace, name, err)
	}
	return !holder.DeletionTimestamp.IsZero() || holder.SecretName() != s.Name, nil
}

// credentialsOfSecret finds the StsCredentials that a Secret concerns: its own, and those that want its name.
func (w watches) credentialsOfSecret(ctx context.Context, s client.Object) []reconcile.Request {
	return append(credentialOfSecret(ctx, s), w.wanting(ctx, s.GetNamespace(), s.GetName(), secret.CredentialName(s))...)
}

// wanting finds the StsCredentials whose Secret has a name, but for one of them.
func (w watches) wanting(ctx context.Context, namespace, secretName, except string) (requests []reconcile.Request) {
	var others v1alpha1.StsCredentialList
	if err := w.List(ctx, &others, client.InNamespace(namespace), client.MatchingFields{bySecretName: secretName}, client.UnsafeDisableDeepCopy); err != nil {
		log.FromContext(ctx).Error(err, "list StsCredentials")
	}
	add := func(name string) {
		if name != except {
			requests = append(requests, ctrl.Request{NamespacedName: types.NamespacedName{Namespace: namespace, Name: name}})
		}
	}
	for i := range others.Items {
		add(others.Items[i].Name)
	}
	same := &v1alpha1.StsCredential{}
	err := w.Get(ctx, types.NamespacedName{Namespace: namespace, Name: secretName}, same)
	if err == nil && secretName != except && same.SecretName() == secretName {
		add(secretName)
	}
	return requests
}

// releasedHandler wakes the StsCredentials that wait for the name of a Secret which another one does not want any more.
func (w watches) releasedHandler() handler.EventHandler {
	wake := func(ctx context.Context, q queue, c *v1alpha1.StsCredential) {
		for _, request := range w.wanting(ctx, c.Namespace, c.SecretName(), c.Name) {
			q.Add(request)
		}
	}
	return handler.Funcs{
		UpdateFunc: func(ctx context.Context, e event.UpdateEvent, q queue) {
			was, is := e.ObjectOld.(*v1alpha1.StsCredential), e.ObjectNew.(*v1alpha1.StsCredential)
			if was.SecretName() != is.SecretName() || was.DeletionTimestamp.IsZero() && !is.DeletionTimestamp.IsZero() {
				wake(ctx, q, was)
			}
		},
		DeleteFunc: func(ctx context.Context, e event.DeleteEvent, q queue) {
			if c, ok := e.Object.(*v1alpha1.StsCredential); ok {
				wake(ctx, q, c)
			}
		},
	}
}
