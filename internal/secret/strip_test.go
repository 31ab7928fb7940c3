// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package secret

import (
	"reflect"
	"strings"
	"testing"
	"unsafe"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Thousands of cached Secrets share what all of them say.
func TestStripShares(t *testing.T) {
	one := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{
		Name:        strings.Clone("orders"),
		Labels:      map[string]string{managedByLabel: strings.Clone(managedBy), UIDLabel: strings.Clone("u-1")},
		Annotations: map[string]string{strings.Clone(requestIDAnnotation): "r-1"},
		OwnerReferences: []metav1.OwnerReference{
			{APIVersion: strings.Clone(apiVersion), Kind: strings.Clone(kind), Name: strings.Clone("orders"), UID: types.UID(strings.Clone("u-1"))},
			{APIVersion: "v1", Kind: "ConfigMap", Name: "else", UID: "u-2"},
		},
	}}
	want := one.DeepCopy()
	if _, err := Strip(one); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(one.OwnerReferences, want.OwnerReferences[:1]) || one.Labels[UIDLabel] != "u-1" || one.Annotations[requestIDAnnotation] != "r-1" {
		t.Errorf("it says something else: %v", one.ObjectMeta)
	}
	owner := one.OwnerReferences[0]
	for what, same := range map[string][2]string{
		"apiVersion": {owner.APIVersion, apiVersion}, "kind": {owner.Kind, kind}, "name": {owner.Name, one.Name},
		"UID": {string(owner.UID), one.Labels[UIDLabel]}, "manager": {one.Labels[managedByLabel], managedBy},
	} {
		if unsafe.StringData(same[0]) != unsafe.StringData(same[1]) { //nolint:gosec // they are compared alone
			t.Errorf("the %s is held twice", what)
		}
	}
	for key := range one.Annotations {
		if key == requestIDAnnotation && unsafe.StringData(key) != unsafe.StringData(requestIDAnnotation) { //nolint:gosec // they are compared alone
			t.Errorf("the name of the annotation %s is held twice", key)
		}
	}
}
