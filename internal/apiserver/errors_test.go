// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"errors"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func TestDescribe(t *testing.T) {
	const hidden = "CAISxyzzy"
	resource := corev1.Resource("secrets")
	for _, tt := range []struct {
		name      string
		given     error
		want      string
		transient bool
		lacks     bool
	}{
		{"quota", apierrors.NewForbidden(resource, "orders", errors.New("exceeded quota: none, requested: count/secrets=1, used: count/secrets=0")),
			"Forbidden (403): exceeded quota: none. Raise the quota", false, false},
		{"an admission policy that quotes", apierrors.NewForbidden(resource, "orders", errors.New("ValidatingAdmissionPolicy 'p' with binding 'b' denied request: "+hidden)),
			"Forbidden (403): ValidatingAdmissionPolicy 'p' with binding 'b' denied request. Allow the operator's request in the policy", false, false},
		{"a webhook that quotes", apierrors.NewForbidden(resource, "orders", errors.New("admission webhook \"w.example.com\" denied the request: "+hidden)),
			"Forbidden (403): admission webhook \"w.example.com\" denied the request. Allow the operator's request in the webhook", false, false},
		{"immutable", apierrors.NewInvalid(corev1.SchemeGroupVersion.WithKind("Secret").GroupKind(), "orders",
			field.ErrorList{field.Forbidden(field.NewPath("data"), "field is immutable when `immutable` is set")}),
			"Invalid (422): field is immutable when `immutable` is set. Delete the object, and create it without `immutable`", false, false},
		{"anything else", apierrors.NewBadRequest(hidden), "BadRequest (400)", false, false},
		{"overloaded", apierrors.NewTooManyRequests(hidden, 1), "TooManyRequests (429)", true, false},
		{"timeout", apierrors.NewTimeoutError(hidden, 1), "Timeout (504)", true, false},
		{"no answer", errors.New("Post \"https://127.0.0.1/" + hidden + "\": EOF"), "the API server did not answer; the operator retries", true, false},
		{"a hot Secret", ErrContended, ErrContended.Error(), true, false},
		{"a missing permission", apierrors.NewForbidden(resource, "orders", errors.New("User \"operator\" cannot get resource")), "Forbidden (403)", false, true},
	} {
		if got := LacksPermission(tt.given); got != tt.lacks {
			t.Errorf("%s: LacksPermission = %v", tt.name, got)
		}
		if got, transient := Describe(tt.given); got != tt.want || transient != tt.transient {
			t.Errorf("%s: Describe = %q, %v; want %q, %v", tt.name, got, transient, tt.want, tt.transient)
		}
	}
}
