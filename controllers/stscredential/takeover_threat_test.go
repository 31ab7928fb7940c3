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
	w := newWorld(t)
	first := w.credential("first", called("shared"), retain)
	w.pass(first)
	w.deleted(first)
	before := w.secret("shared")
	second := w.credential("second", called("shared"))
	w.pass(second)
	if after := w.secret("shared"); after.ResourceVersion != before.ResourceVersion {
		t.Errorf("it was written to: owners %v", after.OwnerReferences)
	}
	w.wantCondition(second, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonSecretConflict, "first")
}

// A copy is not taken over, one of a Secret that an earlier version wrote no more than others.
func TestCopyOfAnEarlierRecordIsNotTakenOver(t *testing.T) {
	for name, ownerless := range map[string]bool{"without owner": true, "with owner": false} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.pass(w.credential("orders"))
			copied := w.copied("orders", "copy", func(s *corev1.Secret) {
				if ownerless {
					s.OwnerReferences = nil
				}
				delete(s.Annotations, namesSecret)
				s.Annotations["sts.alibabacloud.com/data-hash"], _, _ = strings.Cut(s.Annotations["sts.alibabacloud.com/data-hash"], " ")
			})
			other := w.credential("other", called("copy"))
			w.pass(other)
			w.wantCondition(other, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonSecretConflict, "")
			if w.secret("copy").ResourceVersion != copied.ResourceVersion {
				t.Error("the copy was written to")
			}
		})
	}
}

// Times that the status cannot hold make a record none: the status goes on saying what is wrong.
func TestThreatForgedTimes(t *testing.T) {
	w := newWorld(t)
	c := w.credential("orders")
	forged := w.forgedRecord(c, nil)
	forged.Annotations["sts.alibabacloud.com/issued-at"] = "9999-12-31T23:00:00-01:00"
	forged.Annotations["sts.alibabacloud.com/expires-at"] = "9999-12-31T23:59:00-01:00"
	w.must(api.Create(w.ctx, secret.ForAdopted(forged)))
	w.revoke()
	w.pass(c)
	w.wantCondition(c, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonRoleNotGranted, "")
}

// What a record says of earlier credentials is not carried on where STS cannot have issued it.
func TestThreatForgedHistory(t *testing.T) {
	w := newWorld(t)
	c := w.credential("orders")
	forged := w.forgedRecord(c, nil)
	forged.Annotations["sts.alibabacloud.com/replaced"] = "2020-01-01T00:00:00Z/9999-12-31T23:59:00-01:00,2020-01-01T00:00:00Z/2030-01-01T00:00:00Z"
	w.must(api.Create(w.ctx, secret.ForAdopted(forged)))
	w.pass(c)
	w.step(50 * time.Minute)
	w.pass(c)
	w.wantCalls(1)
	if replaced := w.secret("orders").Annotations["sts.alibabacloud.com/replaced"]; strings.Contains(replaced, "2020-") || replaced == "" {
		t.Errorf("replaced = %q", replaced)
	}
}
