// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package command

import (
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/stscredential/sts-credential-operator/cmd/kubectl-stscred/scan"
)

// A pod is left to its owner only if that owner was scanned: with a reference to another object, it would hide an AccessKey.
func TestPodsOfOtherOwnersAreScanned(t *testing.T) {
	owned := func(kind string, uid types.UID) metav1.ObjectMeta {
		yes := true
		return metav1.ObjectMeta{Namespace: "shop", Name: "orders", OwnerReferences: []metav1.OwnerReference{{Kind: kind, UID: uid, Controller: &yes}}}
	}
	const id = "LTAI5tFk3hJ8mNpQ2rTvWxYz"
	spec := corev1.PodSpec{Containers: []corev1.Container{{Name: "orders", Env: []corev1.EnvVar{{Name: "KEY", Value: id}}}}}
	for _, tt := range []struct {
		name, kind string
		uid        types.UID
		template   corev1.PodSpec // of the ReplicaSet
		want       int
	}{
		{name: "of a ReplicaSet of a Deployment", kind: "ReplicaSet", uid: "replica-set", template: spec},
		{name: "of a ReplicaSet whose template has no AccessKey", kind: "ReplicaSet", uid: "replica-set", want: 1},
		{name: "of a ReplicaSet that does not exist", kind: "ReplicaSet", uid: "forged", template: spec, want: 1},
		{name: "of another kind", kind: "Deployment", uid: "deployment", template: spec, want: 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := scan.New()
			addDeployment(s, &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "orders", UID: "deployment"}})
			replicaSet := &appsv1.ReplicaSet{ObjectMeta: owned("Deployment", "deployment")}
			replicaSet.UID, replicaSet.Spec.Template.Spec = "replica-set", tt.template
			addReplicaSet(s, replicaSet)
			addPod(s, &corev1.Pod{ObjectMeta: owned(tt.kind, tt.uid), Spec: spec})
			if got := len(s.Report().Findings); got != tt.want {
				t.Errorf("%d findings, want %d", got, tt.want)
			}
		})
	}
}
