// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
)

// kubectl describe shows the events of a failure that needs an administrator, and of its recovery.
func TestEventsAreWritten(t *testing.T) {
	env := newEnvironment(t)
	env.must(env.api.Create(t.Context(), &v1alpha1.StsCredential{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "orders"}, Spec: v1alpha1.StsCredentialSpec{RoleARN: role},
	}))
	manager := env.start("--metrics-bind-address=0")
	defer env.stop(manager)
	want := func(severity, reason string) {
		t.Helper()
		env.eventually("there is an event "+reason, func() bool {
			events := &eventsv1.EventList{}
			env.must(env.api.List(t.Context(), events, client.InNamespace("default")))
			for _, e := range events.Items {
				if e.Regarding.Kind == "StsCredential" && e.Regarding.Name == "orders" && e.Regarding.UID != "" && e.Type == severity && e.Reason == reason && e.Note != "" {
					return true
				}
			}
			return false
		})
	}
	want(corev1.EventTypeWarning, v1alpha1.ReasonRoleNotGranted)
	env.must(env.api.Create(t.Context(), &v1alpha1.StsRoleGrant{ObjectMeta: metav1.ObjectMeta{Name: "events"}, Spec: v1alpha1.StsRoleGrantSpec{
		Namespaces: v1alpha1.GrantNamespaces{Names: []v1alpha1.NamespaceName{"default"}}, RoleARNs: []v1alpha1.RoleARNPattern{role},
	}}))
	want(corev1.EventTypeNormal, v1alpha1.ReasonIssued)
}
