// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"

	authorizationv1 "k8s.io/api/authorization/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/controllers/stscredential"
)

// track switches on what needs pods, if the operator may watch them. If not, credentials are renewed all the same.
func (s *settings) track(ctx context.Context, api client.Client, r *stscredential.Reconciler) error {
	if !s.trackConsumers && !s.rollouts {
		return nil
	}
	allowed, err := mayWatchPods(ctx, api, s.namespaces)
	if err != nil {
		return err
	}
	if !allowed {
		ctrl.Log.WithName("consumers").Error(nil, "pods are not tracked and no workload is restarted: the operator may not list and watch pods; give it that right, or drop --track-consumers and --rollouts")
	}
	r.TrackConsumers, r.Rollouts = s.trackConsumers && allowed, s.rollouts && allowed
	return nil
}

// mayWatchPods reports whether the operator may list and watch pods in these namespaces, none means all. A cache that may
// not would never be filled, and nothing would be renewed.
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
				return false, fmt.Errorf("ask whether the operator may %s pods: %w", verb, err)
			}
			if !review.Status.Allowed {
				return false, nil
			}
		}
	}
	return true, nil
}
