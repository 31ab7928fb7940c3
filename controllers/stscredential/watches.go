// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stscredential

import (
	"context"
	"maps"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/fairqueue"
	"github.com/stscredential/sts-credential-operator/internal/grant"
	"github.com/stscredential/sts-credential-operator/internal/secret"
)

type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]

// newQueue returns the constructor of the controller's work queue, for a number of workers.
func (r *Reconciler) newQueue(workers int) func(name string, limiter workqueue.TypedRateLimiter[reconcile.Request]) queue {
	return func(name string, limiter workqueue.TypedRateLimiter[reconcile.Request]) queue {
		r.requests = fairqueue.New(name, workers, r.Clock)
		return r.requests.RateLimited(limiter)
	}
}

// specOrWish passes changes of the spec and of the annotation that asks for a renewal, and the removal of the finalizer.
func specOrWish() predicate.Predicate {
	bound := func(o client.Object) bool {
		return controllerutil.ContainsFinalizer(o, v1alpha1.FinalizerAdoptedSecret)
	}
	unbound := predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool { return bound(e.ObjectOld) && !bound(e.ObjectNew) }}
	wishChanged := predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		return e.ObjectOld.GetAnnotations()[v1alpha1.AnnotationRenewRequestedAt] != e.ObjectNew.GetAnnotations()[v1alpha1.AnnotationRenewRequestedAt]
	}}
	return predicate.Or(predicate.GenerationChangedPredicate{}, wishChanged, unbound)
}

// earlySource queues the credentials that are to be renewed early.
func (r *Reconciler) earlySource() source.Source {
	return source.Func(func(ctx context.Context, q queue) error {
		go func() {
			for {
				select {
				case key := <-r.Early.Requests():
					q.Add(ctrl.Request{NamespacedName: key})
				case <-ctx.Done():
					return
				}
			}
		}()
		return nil
	})
}

// byOthers passes what others do to Secrets. What this process wrote, the pass that wrote it has taken in.
func (r *Reconciler) byOthers() predicate.Predicate {
	return predicate.Funcs{
		CreateFunc: func(e event.CreateEvent) bool { return !r.memory.wrote(e.Object) },
		UpdateFunc: func(e event.UpdateEvent) bool { return !r.memory.wrote(e.ObjectNew) },
	}
}

// credentialOfSecret finds the StsCredential whose Secret this is or, by its record, was.
func credentialOfSecret(_ context.Context, s client.Object) []reconcile.Request {
	name := secret.CredentialName(s)
	if name == "" {
		return nil
	}
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: s.GetNamespace(), Name: name}}}
}

// grantHandler wakes the credentials that a grant speaks of, before or after its change.
func (r *Reconciler) grantHandler() handler.EventHandler {
	return handler.Funcs{
		CreateFunc: func(ctx context.Context, e event.CreateEvent, q queue) { r.wakeGranted(ctx, q, e.Object) },
		UpdateFunc: func(ctx context.Context, e event.UpdateEvent, q queue) {
			if e.ObjectOld.GetGeneration() != e.ObjectNew.GetGeneration() {
				r.wakeGranted(ctx, q, e.ObjectOld, e.ObjectNew)
			}
		},
		DeleteFunc: func(ctx context.Context, e event.DeleteEvent, q queue) { r.wakeGranted(ctx, q, e.Object) },
	}
}

func (r *Reconciler) wakeGranted(ctx context.Context, q queue, grants ...client.Object) {
	namespaceLabels := map[string]map[string]string{}
	r.wakeIf(ctx, q, func(c *v1alpha1.StsCredential) bool {
		if _, known := namespaceLabels[c.Namespace]; !known {
			namespaceLabels[c.Namespace] = r.labelsOf(ctx, c.Namespace)
		}
		for _, g := range grants {
			if grant.Concerns(g.(*v1alpha1.StsRoleGrant), c.Namespace, namespaceLabels[c.Namespace], c.Spec.RoleARN) {
				return true
			}
		}
		return false
	})
}

// namespaceHandler wakes the credentials of a namespace that a grant covers with its labels only before or only after
// their change, and those of one that was created again: they may have been judged by the one before.
func (r *Reconciler) namespaceHandler() handler.EventHandler {
	return handler.Funcs{CreateFunc: func(ctx context.Context, e event.CreateEvent, q queue) {
		if !e.IsInInitialList {
			r.wakeIf(ctx, q, func(*v1alpha1.StsCredential) bool { return true }, client.InNamespace(e.Object.GetName()))
		}
	}, UpdateFunc: func(ctx context.Context, e event.UpdateEvent, q queue) {
		name, was, is := e.ObjectNew.GetName(), e.ObjectOld.GetLabels(), e.ObjectNew.GetLabels()
		ending := e.ObjectOld.GetDeletionTimestamp().IsZero() != e.ObjectNew.GetDeletionTimestamp().IsZero()
		if maps.Equal(was, is) && !ending {
			return
		}
		var grants v1alpha1.StsRoleGrantList
		if err := r.List(ctx, &grants, client.UnsafeDisableDeepCopy); err != nil {
			log.FromContext(ctx).Error(err, "list StsRoleGrants")
			return
		}
		r.wakeIf(ctx, q, func(c *v1alpha1.StsCredential) bool {
			if ending {
				return true
			}
			for _, g := range grants.Items {
				if grant.Concerns(&g, name, was, c.Spec.RoleARN) != grant.Concerns(&g, name, is, c.Spec.RoleARN) {
					return true
				}
			}
			return false
		}, client.InNamespace(name))
	}}
}

// wakeIf queues the credentials that a change concerns.
func (r *Reconciler) wakeIf(ctx context.Context, q queue, concerned func(*v1alpha1.StsCredential) bool, in ...client.ListOption) {
	var credentials v1alpha1.StsCredentialList
	if err := r.List(ctx, &credentials, append(in, client.UnsafeDisableDeepCopy)...); err != nil {
		log.FromContext(ctx).Error(err, "list StsCredentials")
		return
	}
	for i := range credentials.Items {
		if c := &credentials.Items[i]; concerned(c) {
			q.Add(ctrl.Request{NamespacedName: client.ObjectKeyFromObject(c)})
		}
	}
}

// labelsOf a namespace; none if it cannot be read, which matches no selector.
func (r *Reconciler) labelsOf(ctx context.Context, name string) map[string]string {
	namespace := namespaceMetadata()
	if err := r.Get(ctx, types.NamespacedName{Name: name}, namespace); err != nil {
		return nil
	}
	return namespace.Labels
}
