// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
)

// lookEvery is how often the observer holds all Secrets against the clock.
const lookEvery = 250 * time.Millisecond

// look lets the observer see every version of every Secret, past the operator and the proxy, until ctx ends.
func (s *site) look(ctx context.Context) {
	go func() {
		for ; ctx.Err() == nil; pause(ctx, lookEvery) {
			s.observer.Check(time.Now())
		}
	}()
	for ; ctx.Err() == nil; pause(ctx, lookEvery) {
		_ = s.follow(ctx) // an API server that is gone comes back
	}
}

// follow lists and then watches, until the watch ends.
func (s *site) follow(ctx context.Context) error {
	var all corev1.SecretList
	if err := s.api.List(ctx, &all, client.InNamespace(s.observed)); err != nil {
		return err
	}
	there := map[string]bool{}
	for i := range all.Items {
		there[all.Items[i].Namespace+"/"+all.Items[i].Name] = true
		s.see(&all.Items[i])
	}
	s.observer.Missing(there)
	w, err := s.api.Watch(ctx, &corev1.SecretList{}, &client.ListOptions{
		Namespace: s.observed, Raw: &metav1.ListOptions{ResourceVersion: all.ResourceVersion},
	})
	if err != nil {
		return err
	}
	defer w.Stop()
	for event := range w.ResultChan() {
		object, ok := event.Object.(*corev1.Secret)
		switch {
		case !ok:
			return fmt.Errorf("the watch of Secrets ended with %v", event.Type)
		case event.Type == watch.Deleted:
			s.observer.Gone(object.Namespace, object.Name)
		default:
			s.see(object)
		}
	}
	return nil
}

// see shows the observer a Secret of the operator's namespaces.
func (s *site) see(object *corev1.Secret) {
	if slices.Contains(s.namespaces, object.Namespace) {
		s.observer.Saw(time.Now(), object)
	}
}

// unsettled names, with what is amiss, a StsCredential of the namespaces that is not as it should be; empty if all are.
func (s *site) unsettled(ctx context.Context, namespaces ...string) (amiss string, err error) {
	for _, namespace := range namespaces {
		var all v1alpha1.StsCredentialList
		if err := s.api.List(ctx, &all, client.InNamespace(namespace)); err != nil {
			return "", err
		}
		for i := range all.Items {
			if why := s.notGood(&all.Items[i]); why != "" {
				return all.Items[i].Namespace + "/" + all.Items[i].Name + " " + why, nil
			}
		}
	}
	return "", nil
}

// notGood says what is amiss with a StsCredential: by its status, and by what its Secret holds.
func (s *site) notGood(c *v1alpha1.StsCredential) string {
	if c.Spec.Suspend {
		return ""
	}
	ready := meta.FindStatusCondition(c.Status.Conditions, v1alpha1.ConditionReady)
	switch {
	case ready == nil || c.Status.ObservedGeneration != c.Generation:
		return "has no status of this generation"
	case ready.Status != metav1.ConditionTrue:
		return "is not Ready: " + ready.Reason + ": " + ready.Message
	case !s.observer.Good(time.Now(), c.Namespace+"/"+c.Name, c.Spec.RoleARN):
		return "is Ready, but its Secret does not hold what it asks for"
	}
	return ""
}

// settled waits until all is as it should be, and returns how long that took. Otherwise it is a violation.
func (s *site) settled(ctx context.Context, namespaces ...string) time.Duration {
	began := time.Now()
	for {
		amiss, err := s.unsettled(ctx, namespaces...)
		took := time.Since(began)
		switch {
		case err == nil && amiss == "":
			return took
		case ctx.Err() != nil:
			return took
		case took > recovery:
			if err != nil {
				amiss = err.Error()
			}
			s.observer.Violate(time.Now(), fmt.Sprintf("not all is well %s after the fault: %s", recovery, amiss))
			return took
		}
		pause(ctx, lookEvery)
	}
}
