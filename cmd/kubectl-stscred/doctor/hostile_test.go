// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

// Names that users of a namespace choose freely must not become commands in a fix.
func TestFixesQuoteWhatUsersChoose(t *testing.T) {
	const hostile = "x'; touch pwned; echo '"
	pod := corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "p", OwnerReferences: []metav1.OwnerReference{{
		APIVersion: "apps/v1", Kind: "StatefulSet", Name: hostile, Controller: ptr.To(true),
	}}}}
	groups, _ := grouped((&Snapshot{Pods: []corev1.Pod{pod}}).podsIn("shop"))
	if got := groups[0].restart("shop"); got != "kubectl -n shop delete pod p" {
		t.Errorf("restart: %s", got)
	}
	d := appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "d", Annotations: map[string]string{"meta.helm.sh/release-name": hostile}}}
	d.Spec.Template.Spec.Containers = []corev1.Container{{Name: ManagerContainer}}
	for _, got := range []string{(&Snapshot{Operators: []appsv1.Deployment{d}}).enable("a", "b"), setFlag(&d, "sts-endpoint", hostile)} {
		if !strings.Contains(got, `x'\''; touch pwned; echo '\''`) {
			t.Errorf("not quoted: %s", got)
		}
	}
}
