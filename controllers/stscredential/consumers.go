// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stscredential

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"

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

// podsPause is how long after a pod's change the credentials that it reads are looked at: pods change by the dozen.
const podsPause = 5 * time.Second

// tracksPods reports whether pods are watched.
func (r *Reconciler) tracksPods() bool { return r.TrackConsumers || r.Rollouts }

// IndexPods gives the cache the indexes that find pods by what they read and whose they are, and whose target a workload is.
// The cache watches pods then.
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
	return indexer.IndexField(ctx, &v1alpha1.StsCredential{}, byTarget, func(o client.Object) (targets []string) {
		for _, w := range targetsOf(o.(*v1alpha1.StsCredential)) {
			targets = append(targets, w.String())
		}
		return targets
	})
}

func targetsOf(c *v1alpha1.StsCredential) (targets []consumers.Workload) {
	for _, t := range c.Spec.Rollout.Targets {
		targets = append(targets, consumers.Workload{Kind: t.Kind, Name: t.Name})
	}
	return targets
}

// podHandler wakes the credentials that a pod reads, and those whose target its workload is.
func (r *Reconciler) podHandler() handler.EventHandler {
	wake := func(ctx context.Context, q queue, o client.Object) {
		pod := consumers.PodOf(o.(*corev1.Pod))
		for name := range pod.Reads {
			held := &corev1.Secret{}
			if r.Get(ctx, types.NamespacedName{Namespace: o.GetNamespace(), Name: name}, held) != nil {
				continue // it is nobody's yet
			}
			for _, request := range credentialOfSecret(ctx, held) {
				q.AddAfter(request, podsPause)
			}
		}
		if pod.Workload == (consumers.Workload{}) {
			return
		}
		var targeting v1alpha1.StsCredentialList
		if r.List(ctx, &targeting, client.InNamespace(o.GetNamespace()), client.MatchingFields{byTarget: pod.Workload.String()}, client.UnsafeDisableDeepCopy) != nil {
			return // as it can only before the cache is filled; then all are looked at
		}
		for i := range targeting.Items {
			q.AddAfter(ctrl.Request{NamespacedName: client.ObjectKeyFromObject(&targeting.Items[i])}, podsPause)
		}
	}
	return handler.Funcs{
		CreateFunc: func(ctx context.Context, e event.CreateEvent, q queue) { wake(ctx, q, e.Object) },
		UpdateFunc: func(ctx context.Context, e event.UpdateEvent, q queue) {
			if !consumers.Same(e.ObjectOld.(*corev1.Pod), e.ObjectNew.(*corev1.Pod)) {
				wake(ctx, q, e.ObjectNew)
			}
		},
		DeleteFunc: func(ctx context.Context, e event.DeleteEvent, q queue) { wake(ctx, q, e.Object) },
	}
}

// survey finds out how the pods of the namespace stand to what the Secret holds.
func (r *Reconciler) survey(ctx context.Context, p *pass) error {
	if !r.tracksPods() || p.record == nil || !p.intact || p.foreign() {
		return nil
	}
	pods, err := r.podsOf(ctx, p.credential)
	if err != nil {
		return fmt.Errorf("list the pods of namespace %s: %w", p.credential.Namespace, err)
	}
	p.issue = consumers.Issue{
		Credential: p.credential.Name, ID: consumers.ID(p.record.RequestID, p.record.AccessKeyID), WrittenAt: p.record.StoredAt,
		Created: len(p.record.Replaced) == 0 && !p.record.Adopted,
	}
	for _, was := range p.record.Replaced {
		p.issue.Replaced = append(p.issue.Replaced, consumers.Replaced{WrittenAt: was.WrittenAt, ExpiresAt: r.local(was.ExpiresAt)})
	}
	p.restarts = consumers.Wish{Duration: p.credential.Duration()}
	if r.Rollouts {
		p.restarts.Auto, p.restarts.Targets = p.credential.Spec.Rollout.Mode == v1alpha1.RolloutAuto, targetsOf(p.credential)
	}
	finding := consumers.Survey(r.Clock.Now(), p.seen.Name, p.issue, p.restarts, pods)
	p.consumers = &finding
	if !finding.Next.IsZero() {
		p.looks = append(p.looks, finding.Next.Sub(r.Clock.Now()))
	}
	return nil
}

// podsOf are the pods that read the Secret of a credential, and those of its targets.
func (r *Reconciler) podsOf(ctx context.Context, c *v1alpha1.StsCredential) ([]consumers.Pod, error) {
	found := map[string]consumers.Pod{}
	list := func(index, value string) error {
		var pods corev1.PodList
		err := r.List(ctx, &pods, client.InNamespace(c.Namespace), client.MatchingFields{index: value}, client.UnsafeDisableDeepCopy)
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

// local is a time of STS's clock by the local one, which stands for those of the nodes.
func (r *Reconciler) local(stsTime time.Time) time.Time { return stsTime.Add(-r.STS.Skew()) }

// consumers is what the status tells of the pods; nil where they are not watched.
func (r *Reconciler) consumers(p *pass) *v1alpha1.Consumers {
	if p.consumers == nil {
		return nil
	}
	told := &v1alpha1.Consumers{Pods: int32(min(p.consumers.Pods, maxPods)), Stale: int32(min(len(p.consumers.Stale), maxPods))} //nolint:gosec // it is bounded
	if told.Stale > 0 && !p.consumers.Stale[0].Held.Unknown() {
		told.StaleExpireAt = &metav1.Time{Time: r.stsTime(p.consumers.Stale[0].Held.ExpiresAt)}
	}
	return told
}

// maxPods is more than a namespace has.
const maxPods = 1 << 30

// stsTime is a time of the local clock by STS's.
func (r *Reconciler) stsTime(local time.Time) time.Time {
	return local.Add(r.STS.Skew()).UTC().Truncate(time.Second)
}

// maxNamed is how many pods a message names.
const maxNamed = 5

// named says which pods, and when the first of their credentials expire, as far as that is known.
func (r *Reconciler) named(pods []consumers.StalePod) string {
	names := make([]string, 0, maxNamed)
	for _, pod := range pods[:min(len(pods), maxNamed)] {
		names = append(names, pod.Name)
	}
	if more := len(pods) - len(names); more > 0 {
		names = append(names, fmt.Sprintf("%d more", more))
	}
	if pods[0].Held.Unknown() {
		return fmt.Sprintf("%s (%s started before the credentials were issued)", strings.Join(names, ", "), pods[0].Name)
	}
	return fmt.Sprintf("%s (until %s)", strings.Join(names, ", "), r.stsTime(pods[0].Held.ExpiresAt).Format(time.RFC3339))
}
