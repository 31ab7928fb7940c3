// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package rollout

import (
	"context"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/consumers"
)

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
func targetsOf(c *v1alpha1.StsCredential) (named []consumers.Workload) {
	for _, t := range c.Spec.Rollout.Targets {
		named = append(named, consumers.Workload{Kind: t.Kind, Name: t.Name})
	}
	return named
}
