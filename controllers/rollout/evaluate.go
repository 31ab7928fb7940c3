// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package rollout

import (
	"context"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/consumers"
)

// evaluate returns which pods read what the Secret holds, and which of them are stale; nil if the Secret holds nothing.
func evaluate(ctx context.Context, cached client.Reader, s subject, clock clock.PassiveClock) (*consumers.Finding, error) {
	if s.record == nil {
		return nil, nil //nolint:nilnil // there is nothing to evaluate
	}
	pods, err := podsOf(ctx, cached, s.credential)
	if err != nil {
		return nil, fmt.Errorf("list the pods of namespace %s: %w", s.credential.Namespace, err)
	}
	finding := consumers.Evaluate(clock.Now(), s.credential.SecretName(), s.issuance, s.policy, pods)
	return &finding, nil
}

// podsOf returns the pods that read the Secret of a credential, and those of its targets.
func podsOf(ctx context.Context, cached client.Reader, c *v1alpha1.StsCredential) ([]consumers.Pod, error) {
	found := map[string]consumers.Pod{}
	list := func(index, value string) error {
		var pods corev1.PodList
		err := cached.List(ctx, &pods, client.InNamespace(c.Namespace), client.MatchingFields{index: value}, client.UnsafeDisableDeepCopy)
		for i := range pods.Items {
			found[pods.Items[i].Name] = consumers.PodOf(&pods.Items[i])
		}
		return err
	}
	if err := list(byRead, c.SecretName()); err != nil {
		return nil, err
	}
	for _, target := range targetsOf(c) {
		if err := list(byWorkload, target.String()); err != nil {
			return nil, err
		}
	}
	return slices.Collect(maps.Values(found)), nil
}
