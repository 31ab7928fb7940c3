// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package rollout

import (
	"context"
	"maps"
	"slices"
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

// Indexes of the cache: pods by the Secrets that they read and by the workload that made them, and StsCredentials by their
// targets.
const (
	byRead     = "reads"
	byWorkload = "workload"
	byTarget   = "target"
)

// IndexPods adds the indexes of this controller to the cache: pods by Secret and by workload, and StsCredentials by target.
// The cache watches pods from then on.
func IndexPods(ctx context.Context, indexer client.FieldIndexer) error {
	if err := indexer.IndexField(ctx, &corev1.Pod{}, byRead, func(o client.Object) []string {
		return slices.Collect(maps.Keys(consumers.PodOf(o.(*corev1.Pod)).Reads))
	}); err != nil {
		return err
	}
	if err := indexer.IndexField(ctx, &corev1.Pod{}, byWorkload, func(o client.Object) []string {
		return []string{consumers.PodOf(o.(*corev1.Pod)).Workload.String()}
	}); err != nil {
		return err
	}
	return indexer.IndexField(ctx, &v1alpha1.StsCredential{}, byTarget, func(o client.Object) (names []string) {
		for _, w := range targetsOf(o.(*v1alpha1.StsCredential)) {
			names = append(names, w.String())
		}
		return names
	})
}

// targetsOf returns spec.rollout.targets.
func targetsOf(c *v1alpha1.StsCredential) (targets []consumers.Workload) {
	for _, t := range c.Spec.Rollout.Targets {
		targets = append(targets, consumers.Workload{Kind: t.Kind, Name: t.Name})
	}
	return targets
}

// watches finds, in the cache, the StsCredentials that a change concerns.
type watches struct{ client.Reader }

// podsPause is the delay of a reconcile after a pod has changed, so that the changes of many pods cause one reconcile.
const podsPause = 5 * time.Second

// reportChanged selects changes of the spec and of the status that the credential controller writes, and not of the status that
// this controller writes.
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

// podHandler queues the StsCredentials whose Secrets a pod reads, and those whose target its workload is.
func (w watches) podHandler() handler.EventHandler {
	return handler.Funcs{
		CreateFunc: func(ctx context.Context, e event.CreateEvent, q queue) { w.queueOfPod(ctx, q, e.Object) },
		UpdateFunc: func(ctx context.Context, e event.UpdateEvent, q queue) {
			if !consumers.Same(e.ObjectOld.(*corev1.Pod), e.ObjectNew.(*corev1.Pod)) {
				w.queueOfPod(ctx, q, e.ObjectNew)
			}
		},
		DeleteFunc: func(ctx context.Context, e event.DeleteEvent, q queue) { w.queueOfPod(ctx, q, e.Object) },
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

func (w watches) queueOfPod(ctx context.Context, q queue, o client.Object) {
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
	if pod.Workload != (consumers.Workload{}) {
		for _, request := range w.requests(ctx, o.GetNamespace(), client.MatchingFields{byTarget: pod.Workload.String()}) {
			q.AddAfter(request, podsPause)
		}
	}
}

// namespaceHandler queues the StsCredentials of a namespace whose deletion begins: nothing is restarted there any more.
func (w watches) namespaceHandler() handler.EventHandler {
	return handler.Funcs{UpdateFunc: func(ctx context.Context, e event.UpdateEvent, q queue) {
		if e.ObjectOld.GetDeletionTimestamp().IsZero() == e.ObjectNew.GetDeletionTimestamp().IsZero() {
			return
		}
		for _, request := range w.requests(ctx, e.ObjectNew.GetName()) {
			q.Add(request)
		}
	}}
}

// requests returns requests for StsCredentials of a namespace. The list fails only before the cache is filled, and then all
// StsCredentials are queued.
func (w watches) requests(ctx context.Context, namespace string, options ...client.ListOption) []ctrl.Request {
	var found v1alpha1.StsCredentialList
	_ = w.List(ctx, &found, append(options, client.InNamespace(namespace), client.UnsafeDisableDeepCopy)...)
	requests := make([]ctrl.Request, len(found.Items))
	for i := range found.Items {
		requests[i].NamespacedName = client.ObjectKeyFromObject(&found.Items[i])
	}
	return requests
}
