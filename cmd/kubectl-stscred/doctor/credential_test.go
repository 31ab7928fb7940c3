// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package doctor_test

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/cmd/kubectl-stscred/doctor"
)

const readerRole = "acs:ram::1234567890123456:role/orders-reader"

// broken is an StsCredential with a grant, whose Ready is False with a reason and a message.
func broken(reason, message string) *doctor.Snapshot {
	now := time.Now()
	c := v1alpha1.StsCredential{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "orders"}, Spec: v1alpha1.StsCredentialSpec{RoleARN: readerRole}}
	c.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse, Reason: reason, Message: message}}
	return &doctor.Snapshot{
		LocalTime: now, ServerTime: now, Credentials: []v1alpha1.StsCredential{c}, Secrets: map[types.NamespacedName]*corev1.Secret{},
		Unread:     []doctor.Unread{{Resource: "deployments of the operator"}},
		Namespaces: map[string]*corev1.Namespace{"shop": {ObjectMeta: metav1.ObjectMeta{Name: "shop"}}},
		Grants: []v1alpha1.StsRoleGrant{{ObjectMeta: metav1.ObjectMeta{Name: "shop"}, Spec: v1alpha1.StsRoleGrantSpec{
			Namespaces: v1alpha1.GrantNamespaces{Names: []v1alpha1.NamespaceName{"shop"}}, RoleARNs: []v1alpha1.RoleARNPattern{readerRole},
		}}},
	}
}

func TestOneCauseHasOneFinding(t *testing.T) {
	for _, tt := range []struct {
		name, reason, message string
		change                func(s *doctor.Snapshot)
		check, fix            string // the check, and a part of the fix
	}{
		{"case of the role", v1alpha1.ReasonRoleNotGranted, "no StsRoleGrant", func(s *doctor.Snapshot) {
			s.Credentials[0].Spec.RoleARN = "acs:ram::1234567890123456:role/Orders-Reader"
		}, "role-not-granted", `{"spec":{"roleARN":"` + readerRole + `"}}`},
		{"no grant", v1alpha1.ReasonRoleNotGranted, "no StsRoleGrant", func(s *doctor.Snapshot) { s.Grants = nil }, "role-not-granted", "kind: StsRoleGrant"},
		{"limit of a grant", v1alpha1.ReasonRoleNotGranted, "at most", func(s *doctor.Snapshot) {
			s.Grants[0].Spec.MaxDuration = &metav1.Duration{Duration: 30 * time.Minute}
		}, "role-not-granted", `{"spec":{"duration":"30m"}}`},
		{"suspended", v1alpha1.ReasonSuspended, "spec.suspend is true", func(s *doctor.Snapshot) { s.Credentials[0].Spec.Suspend = true }, "suspended", `{"suspend":false}`},
		{"no permission", v1alpha1.ReasonRoleRefused, "AssumeRole: NoPermission (RequestId 1-2): permission is missing", nil, "role-not-trusted", "aliyun ram UpdateRole --RoleName orders-reader"},
		{"no role", v1alpha1.ReasonRoleRefused, "AssumeRole: EntityNotExist.Role (RequestId 1-2): role does not exist", nil, "role-not-found", "aliyun ram CreateRole"},
		{"duration", v1alpha1.ReasonRoleRefused, "AssumeRole: InvalidParameter.DurationSeconds (RequestId 1): too long", nil, "duration-too-long", `{"duration":"1h"}`},
		{"no AccessKey", v1alpha1.ReasonIdentityUnavailable, "no credentials to call STS", func(s *doctor.Snapshot) {
			s.Credentials[0].Spec.Identity = &v1alpha1.IdentitySpec{AccessKey: &v1alpha1.AccessKeyIdentity{SecretName: "ram-user"}}
			s.Secrets[types.NamespacedName{Namespace: "shop", Name: "ram-user"}] = nil
		}, "access-key-missing", "create secret generic ram-user"},
		{"foreign Secret", v1alpha1.ReasonSecretConflict, "Secret orders is not written", nil, "secret-conflict", `{"secret":{"name":"orders-sts"}}`},
		{"quota", v1alpha1.ReasonSecretWriteFailed, "failed to write Secret orders: Forbidden (403): exceeded quota: few. Raise the quota", nil, "secret-write-failed", "resourcequota few"},
		{"immutable", v1alpha1.ReasonSecretWriteFailed, "failed: field is immutable when `immutable` is set.", nil, "secret-write-failed", "delete secret orders"},
		{"unknown code", v1alpha1.ReasonSTSUnavailable, "AssumeRole: Odd.Code (RequestId 1): unknown", nil, "sts-error", "explain Odd.Code"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := broken(tt.reason, tt.message)
			if tt.change != nil {
				tt.change(s)
			}
			var found []doctor.Finding
			for _, f := range doctor.Check(s).Findings {
				if strings.HasPrefix(f.Object, "StsCredential ") {
					found = append(found, f)
				}
			}
			if len(found) != 1 || found[0].Check != tt.check || !strings.Contains(found[0].Fix, tt.fix) || found[0].Message == "" {
				t.Errorf("findings = %+v, want %s with %s", found, tt.check, tt.fix)
			}
		})
	}
}
