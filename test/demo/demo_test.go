// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/test/stsemulator"
)

func TestCheck(t *testing.T) {
	c := &v1alpha1.StsCredential{}
	c.Status.Conditions = []metav1.Condition{{Type: "Ready", Status: metav1.ConditionFalse, Reason: "RoleRefused", Message: "NoPermission: add user/x"}}
	for name, tt := range map[string]struct {
		kind     string
		status   metav1.ConditionStatus
		reason   string
		mentions []string
		want     bool
	}{
		"as it is":         {"Ready", metav1.ConditionFalse, "RoleRefused", []string{"NoPermission", "user/x"}, true},
		"another status":   {"Ready", metav1.ConditionTrue, "RoleRefused", nil, false},
		"another reason":   {"Ready", metav1.ConditionFalse, "Expired", nil, false},
		"another message":  {"Ready", metav1.ConditionFalse, "RoleRefused", []string{"NoPermission", "user/y"}, false},
		"absent":           {"Stalled", metav1.ConditionUnknown, "", nil, true},
		"not yet there":    {"Stalled", metav1.ConditionTrue, "", nil, false},
		"not to be there":  {"Ready", metav1.ConditionUnknown, "", nil, false},
		"there, no reason": {"Ready", metav1.ConditionFalse, "", nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			if err := check(c, tt.kind, tt.status, tt.reason, tt.mentions); (err == nil) != tt.want {
				t.Errorf("got %v", err)
			}
		})
	}
	c.Generation = 2
	if check(c, "Ready", metav1.ConditionFalse, "RoleRefused", nil) == nil {
		t.Error("the status of an older spec is accepted")
	}
}

func TestSetIdentity(t *testing.T) {
	for _, name := range []string{"KUBECONFIG", "ALIBABA_CLOUD_ACCESS_KEY_ID", "ALIBABA_CLOUD_ACCESS_KEY_SECRET", "ALIBABA_CLOUD_SECURITY_TOKEN"} {
		t.Setenv(name, "mine")
	}
	if err := setIdentity("/k", stsemulator.AccessKey{ID: "id", Secret: "secret"}); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"KUBECONFIG": "/k", "ALIBABA_CLOUD_ACCESS_KEY_ID": "id", "ALIBABA_CLOUD_ACCESS_KEY_SECRET": "secret", "ALIBABA_CLOUD_SECURITY_TOKEN": "",
	} {
		if got := os.Getenv(name); got != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
}
