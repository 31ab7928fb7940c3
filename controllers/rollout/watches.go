// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package rollout

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/consumers"
	"github.com/stscredential/sts-credential-operator/internal/secret"
)

type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]

// watches finds, in the cache, the StsCredentials that a change concerns.
type watches struct{ client.Reader }

// podsPause is the delay of a reconcile after a pod has changed, so that the changes of many pods cause one reconcile.
const podsPause = 5 * time.Second

// reportChanged passes changes of the spec and of what the credential controller reports, but not what this controller
// reports itself.
func reportChanged() predicate.Predicate {
	ready := func(c *v1alpha1.StsCredential) bool {
		return meta.IsStatusConditionTrue(c.Status.Conditions, v1alpha1.ConditionReady)
	}
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		was, is := e.ObjectOld.(*v1alpha1.StsCredential), e.ObjectNew.(*v1alpha1.StsCredential)
		return was.UID != is.UID || was.Generation != is.Generation || was.DeletionTimestamp.IsZero() != is.DeletionTimestamp.IsZero() ||
			was.Status.ObservedGeneration != is.Status.ObservedGeneration || was.Status.RequestID != is.Status.RequestID ||
			!was.Status.IssuedAt.Equal(is.Status.IssuedAt) || ready(was) != ready(is)
	}}
}

// podHandler enqueues the credentials that a pod reads, and those whose target its workload is.
func (w watches) podHandler() handler.EventHandler {
	return handler.Funcs{
		CreateFunc: func(ctx context.Context, e event.CreateEvent, q queue) { w.enqueueOfPod(ctx, q, e.Object) },
		UpdateFunc: func(ctx context.Context, e event.UpdateEvent, q queue) {
			if !consumers.Same(e.ObjectOld.(*corev1.Pod), e.ObjectNew.(*corev1.Pod)) {
				w.enqueueOfPod(ctx, q, e.ObjectNew)
			}
		},
		DeleteFunc: func(ctx context.Context, e event.DeleteEvent, q queue) { w.enqueueOfPod(ctx, q, e.Object) },
	}
}

// credentialOfSecret returns the request for the StsCredential that a Secret belongs to; none if there is none.
func credentialOfSecret(_ context.Context, s client.Object) []reconcile.Request {
	name := secret.CredentialName(s)
	if name == "" {
		return nil
	}
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: s.GetNamespace(), Name: name}}}
}

func (w watches) enqueueOfPod(ctx context.Context, q queue, o client.Object) {
	pod := consumers.PodOf(o.(*corev1.Pod))
	for name := range pod.Reads {
		held := &corev1.Secret{}
		if w.Get(ctx, types.NamespacedName{Namespace: o.GetNamespace(), Name: name}, held) != nil {
			continue // the cache has no Secret of this name, so no StsCredential writes it
		}
		for _, request := range credentialOfSecret(ctx, held) {
			q.AddAfter(request, podsPause)
		}
	}
	if pod.Workload == (consumers.Workload{}) {
		return
	}
	var targeting v1alpha1.StsCredentialList
	if w.List(ctx, &targeting, client.InNamespace(o.GetNamespace()), client.MatchingFields{byTarget: pod.Workload.String()}, client.UnsafeDisableDeepCopy) != nil {
		return // as it can only before the cache is filled; then all are reconciled
	}
	for i := range targeting.Items {
		q.AddAfter(ctrl.Request{NamespacedName: client.ObjectKeyFromObject(&targeting.Items[i])}, podsPause)
	}
}

// namespaceHandler enqueues the StsCredentials of a namespace whose deletion begins: nothing is restarted there any more.
func (w watches) namespaceHandler() handler.EventHandler {
	return handler.Funcs{UpdateFunc: func(ctx context.Context, e event.UpdateEvent, q queue) {
		if e.ObjectOld.GetDeletionTimestamp().IsZero() == e.ObjectNew.GetDeletionTimestamp().IsZero() {
			return
		}
		var all v1alpha1.StsCredentialList
		if w.List(ctx, &all, client.InNamespace(e.ObjectNew.GetName()), client.UnsafeDisableDeepCopy) != nil {
			return // as it can only before the cache is filled; then all are reconciled
		}
		for i := range all.Items {
			q.Add(ctrl.Request{NamespacedName: client.ObjectKeyFromObject(&all.Items[i])})
		}
	}}
}
