// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1_test

import (
	"testing"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
)

func TestStsCredentialRolloutRules(t *testing.T) {
	check(t, credentialKind, role, rolloutRows)
}

var rolloutRows = []row{
	{"nothing", "rollout: {}", ""},
	{"by itself", "rollout: {mode: Auto}", ""},
	{"switched off", "rollout: {mode: Never}", ""},
	{"targets of every kind", "rollout: {targets: [{kind: Deployment, name: a}, {kind: StatefulSet, name: a}, {kind: DaemonSet, name: a}, {kind: Rollout, name: a}, {kind: CloneSet, name: a}]}", ""},
	{"another mode", "rollout: {mode: Always}", "spec.rollout.mode: Unsupported value"},
	{"another kind", "rollout: {targets: [{kind: Job, name: a}]}", "spec.rollout.targets[0].kind: Unsupported value"},
	{"no kind", "rollout: {targets: [{name: a}]}", "spec.rollout.targets[0].kind: Required value"},
	{"no name", "rollout: {targets: [{kind: Deployment}]}", "spec.rollout.targets[0].name: Required value"},
	{"a name of 253", "rollout: {targets: [{kind: Deployment, name: " + times(253, "a") + "}]}", ""},
	{"a name of 254", "rollout: {targets: [{kind: Deployment, name: " + times(254, "a") + "}]}", "spec.rollout.targets[0].name: Too long"},
	{"another namespace's", "rollout: {targets: [{kind: Deployment, name: other/a}]}", "spec.rollout.targets[0].name: name must be a workload's name"},
	{"a path", "rollout: {targets: [{kind: Deployment, name: ../a}]}", "spec.rollout.targets[0].name: name must be a workload's name"},
	{"a target twice", "rollout: {targets: [{kind: Deployment, name: a}, {kind: Deployment, name: a}]}", "spec.rollout.targets[1]: Duplicate value"},
	{"32 targets", "rollout: {targets: " + list(32, "{kind: Deployment, name: a%d}") + "}", ""},
	{"33 targets", "rollout: {targets: " + list(33, "{kind: Deployment, name: a%d}") + "}", "spec.rollout.targets: Too many"},
}

func TestRestarts(t *testing.T) {
	for _, tt := range []struct {
		name  string
		given v1alpha1.RolloutSpec
		want  bool
	}{
		{"nothing", v1alpha1.RolloutSpec{}, false},
		{"never", v1alpha1.RolloutSpec{Mode: v1alpha1.RolloutNever}, false},
		{"by itself", v1alpha1.RolloutSpec{Mode: v1alpha1.RolloutAuto}, true},
		{"targets alone", v1alpha1.RolloutSpec{Mode: v1alpha1.RolloutNever, Targets: []v1alpha1.RolloutTarget{{Kind: "Deployment", Name: "a"}}}, true},
	} {
		c := &v1alpha1.StsCredential{Spec: v1alpha1.StsCredentialSpec{Rollout: tt.given}}
		if c.Restarts() != tt.want {
			t.Errorf("%s: %v", tt.name, c.Restarts())
		}
	}
}
