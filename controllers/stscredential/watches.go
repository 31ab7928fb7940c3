// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stscredential

import (
	"context"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/grant"
	"github.com/stscredential/sts-credential-operator/internal/secret"
)

// watches finds in the cache the StsCredentials that a change concerns.
type watches struct{ client.Reader }

// specOrRenewRequest selects changes of the spec, new renew requests, and the removal of the finalizer.
func specOrRenewRequest() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		was, is := e.ObjectOld, e.ObjectNew
		const finalizer, renew = v1alpha1.FinalizerAdoptedSecret, v1alpha1.AnnotationRenewRequestedAt
		return was.GetGeneration() != is.GetGeneration() || was.GetAnnotations()[renew] != is.GetAnnotations()[renew] ||
			controllerutil.ContainsFinalizer(was, finalizer) && !controllerutil.ContainsFinalizer(is, finalizer)
	}}
}

// skipOwnWrites filters out the operator's own writes to Secrets: the reconcile that made the write has already handled it.
func (s *objectStates) skipOwnWrites() predicate.Predicate {
	return predicate.Funcs{
		CreateFunc: func(e event.CreateEvent) bool { return !s.isOwnWrite(e.Object) },
		UpdateFunc: func(e event.UpdateEvent) bool { return !s.isOwnWrite(e.ObjectNew) },
	}
}

// credentialsOfSecret finds the StsCredentials that a Secret concerns: its own, and those whose spec names it.
func (w watches) credentialsOfSecret(ctx context.Context, s client.Object) []reconcile.Request {
	own := secret.CredentialName(s)
	requests := w.credentialsNaming(ctx, s.GetNamespace(), s.GetName(), own)
	if own == "" {
		return requests
	}
	return append(requests, ctrl.Request{NamespacedName: types.NamespacedName{Namespace: s.GetNamespace(), Name: own}})
}

// credentialsNaming returns requests for the StsCredentials whose Secret has this name, except one.
func (w watches) credentialsNaming(ctx context.Context, namespace, secretName, except string) (requests []reconcile.Request) {
	var others v1alpha1.StsCredentialList
	if err := w.List(ctx, &others, client.InNamespace(namespace), client.MatchingFields{bySecretName: secretName}, client.UnsafeDisableDeepCopy); err != nil {
		log.FromContext(ctx).Error(err, "Failed to list StsCredentials")
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

// secretNameHandler queues the StsCredentials that wait for a Secret name that another StsCredential no longer uses.
func (w watches) secretNameHandler() handler.EventHandler {
	queueWaiting := func(ctx context.Context, q queue, c *v1alpha1.StsCredential) {
		for _, request := range w.credentialsNaming(ctx, c.Namespace, c.SecretName(), c.Name) {
			q.Add(request)
		}
	}
	return handler.Funcs{
		UpdateFunc: func(ctx context.Context, e event.UpdateEvent, q queue) {
			was, is := e.ObjectOld.(*v1alpha1.StsCredential), e.ObjectNew.(*v1alpha1.StsCredential)
			if was.SecretName() != is.SecretName() || was.DeletionTimestamp.IsZero() && !is.DeletionTimestamp.IsZero() {
				queueWaiting(ctx, q, was)
			}
		},
		DeleteFunc: func(ctx context.Context, e event.DeleteEvent, q queue) {
			if c, ok := e.Object.(*v1alpha1.StsCredential); ok {
				queueWaiting(ctx, q, c)
			}
		},
	}
}

// grantHandler queues the StsCredentials that a grant concerns, before or after its change.
func (w watches) grantHandler() handler.EventHandler {
	return handler.Funcs{
		CreateFunc: func(ctx context.Context, e event.CreateEvent, q queue) { w.queueGranted(ctx, q, e.Object) },
		UpdateFunc: func(ctx context.Context, e event.UpdateEvent, q queue) {
			if e.ObjectOld.GetGeneration() != e.ObjectNew.GetGeneration() {
				w.queueGranted(ctx, q, e.ObjectOld, e.ObjectNew)
			}
		},
		DeleteFunc: func(ctx context.Context, e event.DeleteEvent, q queue) { w.queueGranted(ctx, q, e.Object) },
	}
}

func (w watches) queueGranted(ctx context.Context, q queue, grants ...client.Object) {
	namespaceLabels := map[string]map[string]string{}
	w.queueIf(ctx, q, func(c *v1alpha1.StsCredential) bool {
		if _, known := namespaceLabels[c.Namespace]; !known {
			namespaceLabels[c.Namespace] = w.labelsOf(ctx, c.Namespace)
		}
		return slices.ContainsFunc(grants, func(g client.Object) bool {
			return grant.Concerns(g.(*v1alpha1.StsRoleGrant), c.Namespace, namespaceLabels[c.Namespace], c.Spec.RoleARN)
		})
	})
}

// namespaceHandler queues StsCredentials of a namespace: those for which a change of its labels adds or removes a grant, and
// all of them when its deletion starts, or when the namespace is created again under the same name.
func (w watches) namespaceHandler() handler.EventHandler {
	return handler.Funcs{CreateFunc: func(ctx context.Context, e event.CreateEvent, q queue) {
		if !e.IsInInitialList {
			w.queueIf(ctx, q, func(*v1alpha1.StsCredential) bool { return true }, client.InNamespace(e.Object.GetName()))
		}
	}, UpdateFunc: func(ctx context.Context, e event.UpdateEvent, q queue) {
		name, was, is := e.ObjectNew.GetName(), e.ObjectOld.GetLabels(), e.ObjectNew.GetLabels()
		terminatingChanged := e.ObjectOld.GetDeletionTimestamp().IsZero() != e.ObjectNew.GetDeletionTimestamp().IsZero()
		if maps.Equal(was, is) && !terminatingChanged {
			return
		}
		var grants v1alpha1.StsRoleGrantList
		if err := w.List(ctx, &grants, client.UnsafeDisableDeepCopy); err != nil {
			log.FromContext(ctx).Error(err, "Failed to list StsRoleGrants")
			return
		}
		w.queueIf(ctx, q, func(c *v1alpha1.StsCredential) bool {
			return terminatingChanged || slices.ContainsFunc(grants.Items, func(g v1alpha1.StsRoleGrant) bool {
				return grant.Concerns(&g, name, was, c.Spec.RoleARN) != grant.Concerns(&g, name, is, c.Spec.RoleARN)
			})
		}, client.InNamespace(name))
	}}
}

// queueIf queues the StsCredentials that a change concerns.
func (w watches) queueIf(ctx context.Context, q queue, concerned func(*v1alpha1.StsCredential) bool, in ...client.ListOption) {
	var credentials v1alpha1.StsCredentialList
	if err := w.List(ctx, &credentials, append(in, client.UnsafeDisableDeepCopy)...); err != nil {
		log.FromContext(ctx).Error(err, "Failed to list StsCredentials")
		return
	}
	for i := range credentials.Items {
		if c := &credentials.Items[i]; concerned(c) {
			q.Add(ctrl.Request{NamespacedName: client.ObjectKeyFromObject(c)})
		}
	}
}

// labelsOf returns the labels of a namespace; none, which match no selector, if it cannot be read.
func (w watches) labelsOf(ctx context.Context, name string) map[string]string {
	namespace := namespaceMetadata()
	if err := w.Get(ctx, types.NamespacedName{Name: name}, namespace); err != nil {
		return nil
	}
	return namespace.Labels
}
