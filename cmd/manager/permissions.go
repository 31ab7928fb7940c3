// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"

	authorizationv1 "k8s.io/api/authorization/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/controllers/rollout"
	"github.com/stscredential/sts-credential-operator/controllers/stscredential"
)

// track sets up the rollout controller, if it is enabled and the operator may watch pods. Credentials are renewed in any case.
func (s *settings) track(ctx context.Context, mgr ctrl.Manager, credentials *stscredential.Reconciler, rollouts *rollout.Reconciler) error {
	if !s.trackConsumers && !s.rollouts {
		return nil
	}
	allowed, err := mayWatchPods(ctx, mgr.GetClient(), s.namespaces)
	if err != nil {
		return err
	}
	if !allowed {
		ctrl.Log.WithName("consumers").Error(nil, "Pods are not tracked and workloads are not restarted: the operator may not list and watch pods. Grant the permission, or remove --track-consumers and --rollouts")
		return nil
	}
	credentials.TracksConsumers, rollouts.Rollouts = true, s.rollouts
	credentials.OnClockChange = rollouts.Wake
	return rollouts.SetupWithManager(ctx, mgr, s.maxConcurrentReconciles)
}

// mayWatchPods reports whether the operator may list and watch pods in these namespaces; none means all. Without the
// permission, the cache would never sync and nothing would be renewed.
func mayWatchPods(ctx context.Context, api client.Client, namespaces []string) (bool, error) {
	if len(namespaces) == 0 {
		namespaces = []string{""}
	}
	for _, namespace := range namespaces {
		for _, verb := range []string{"list", "watch"} {
			review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
				ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: namespace, Verb: verb, Resource: "pods"},
			}}
			if err := api.Create(ctx, review); err != nil {
				return false, fmt.Errorf("failed to check whether the operator may %s pods: %w", verb, err)
			}
			if !review.Status.Allowed {
				return false, nil
			}
		}
	}
	return true, nil
}
