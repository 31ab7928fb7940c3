// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stscredential

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/secret"
)

// A retained Secret has no owner that would want it back, and is taken over only by consent.
func TestRetainedSecretIsNotTakenOver(t *testing.T) {
	env := newEnvironment(t)
	first := env.CreateCredential("first", withSecretName("shared"), withRetain)
	env.reconcile(first)
	env.deleteCredential(first)
	before := env.Secret("shared")
	second := env.CreateCredential("second", withSecretName("shared"))
	env.reconcile(second)
	if after := env.Secret("shared"); after.ResourceVersion != before.ResourceVersion {
		t.Errorf("it was written to: owners %v", after.OwnerReferences)
	}
	env.WantCondition(second, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonSecretConflict, "first")
}

// A copy is not taken over, one of a Secret that an earlier version wrote no more than others.
func TestCopyOfAnEarlierRecordIsNotTakenOver(t *testing.T) {
	for name, ownerless := range map[string]bool{"without owner": true, "with owner": false} {
		t.Run(name, func(t *testing.T) {
			env := newEnvironment(t)
			env.reconcile(env.CreateCredential("orders"))
			copied := env.copySecret("orders", "copy", func(s *corev1.Secret) {
				if ownerless {
					s.OwnerReferences = nil
				}
				delete(s.Annotations, namesSecret)
				s.Annotations["sts.alibabacloud.com/data-hash"], _, _ = strings.Cut(s.Annotations["sts.alibabacloud.com/data-hash"], " ")
			})
			other := env.CreateCredential("other", withSecretName("copy"))
			env.reconcile(other)
			env.WantCondition(other, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonSecretConflict, "")
			if env.Secret("copy").ResourceVersion != copied.ResourceVersion {
				t.Error("the copy was written to")
			}
		})
	}
}

// Times that the status cannot hold make a record none: the status goes on saying what is wrong.
func TestThreatForgedTimes(t *testing.T) {
	env := newEnvironment(t)
	c := env.CreateCredential("orders")
	forged := env.forgeRecord(c, nil)
	forged.Annotations["sts.alibabacloud.com/issued-at"] = "9999-12-31T23:00:00-01:00"
	forged.Annotations["sts.alibabacloud.com/expires-at"] = "9999-12-31T23:59:00-01:00"
	env.Must(api.Create(env.Context(), secret.ForAdopted(forged)))
	env.Revoke()
	env.reconcile(c)
	env.WantCondition(c, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonRoleNotGranted, "")
}

// What a record says of earlier credentials is not carried on where STS cannot have issued it.
func TestThreatForgedHistory(t *testing.T) {
	env := newEnvironment(t)
	c := env.CreateCredential("orders")
	forged := env.forgeRecord(c, nil)
	forged.Annotations["sts.alibabacloud.com/replaced"] = "2020-01-01T00:00:00Z/9999-12-31T23:59:00-01:00,2020-01-01T00:00:00Z/2030-01-01T00:00:00Z"
	env.Must(api.Create(env.Context(), secret.ForAdopted(forged)))
	env.reconcile(c)
	env.Step(50 * time.Minute)
	env.reconcile(c)
	env.WantCalls(1)
	if replaced := env.Secret("orders").Annotations["sts.alibabacloud.com/replaced"]; strings.Contains(replaced, "2020-") || replaced == "" {
		t.Errorf("replaced = %q", replaced)
	}
}
