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

// observeInterval is the interval between checks of all Secrets.
const observeInterval = 250 * time.Millisecond

// observe gives the observer every version of every Secret until ctx ends. It uses neither the operator nor the proxy.
func (env *environment) observe(ctx context.Context) {
	go func() {
		for ; ctx.Err() == nil; pause(ctx, observeInterval) {
			env.observer.Check(time.Now())
		}
	}()
	for ; ctx.Err() == nil; pause(ctx, observeInterval) {
		_ = env.follow(ctx) // fails while the API server is not available
	}
}

// follow lists and then watches, until the watch ends.
func (env *environment) follow(ctx context.Context) error {
	var all corev1.SecretList
	if err := env.api.List(ctx, &all, client.InNamespace(env.observed)); err != nil {
		return err
	}
	there := map[string]bool{}
	for i := range all.Items {
		there[all.Items[i].Namespace+"/"+all.Items[i].Name] = true
		env.record(&all.Items[i])
	}
	env.observer.Missing(there)
	w, err := env.api.Watch(ctx, &corev1.SecretList{}, &client.ListOptions{
		Namespace: env.observed, Raw: &metav1.ListOptions{ResourceVersion: all.ResourceVersion},
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
			env.observer.Deleted(object.Namespace, object.Name)
		default:
			env.record(object)
		}
	}
	return nil
}

// record gives the observer a Secret of the operator's namespaces.
func (env *environment) record(object *corev1.Secret) {
	if slices.Contains(env.namespaces, object.Namespace) {
		env.observer.Record(time.Now(), object)
	}
}

// unrecovered returns the name and the problem of an StsCredential in the namespaces, or "" if none has a problem.
func (env *environment) unrecovered(ctx context.Context, namespaces ...string) (amiss string, err error) {
	for _, namespace := range namespaces {
		var all v1alpha1.StsCredentialList
		if err := env.api.List(ctx, &all, client.InNamespace(namespace)); err != nil {
			return "", err
		}
		for i := range all.Items {
			if why := env.problem(&all.Items[i]); why != "" {
				return all.Items[i].Namespace + "/" + all.Items[i].Name + " " + why, nil
			}
		}
	}
	return "", nil
}

// problem returns the problem of an StsCredential, from its status and its Secret.
func (env *environment) problem(c *v1alpha1.StsCredential) string {
	if c.Spec.Suspend {
		return ""
	}
	ready := meta.FindStatusCondition(c.Status.Conditions, v1alpha1.ConditionReady)
	switch {
	case ready == nil || c.Status.ObservedGeneration != c.Generation:
		return "has no status of this generation"
	case ready.Status != metav1.ConditionTrue:
		return "is not Ready: " + ready.Reason + ": " + ready.Message
	case !env.observer.Good(time.Now(), c.Namespace+"/"+c.Name, c.Spec.RoleARN):
		return "is Ready, but its Secret does not hold what the spec requests"
	}
	return ""
}

// awaitRecovery waits until no StsCredential has a problem, and returns how long that took. If it takes too long, it is a violation.
func (env *environment) awaitRecovery(ctx context.Context, namespaces ...string) time.Duration {
	began := time.Now()
	for {
		amiss, err := env.unrecovered(ctx, namespaces...)
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
			env.observer.Violate(time.Now(), fmt.Sprintf("no recovery %s after the fault: %s", recovery, amiss))
			return took
		}
		pause(ctx, observeInterval)
	}
}
