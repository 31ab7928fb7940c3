// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stscredential

import (
	"context"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/secret"
)

const namesSecret = "sts.alibabacloud.com/secret"

// copiedBy are the ways in which people and programs copy a Secret within a namespace.
var copiedBy = map[string]func(s *corev1.Secret){
	"kubectl get | sed the name | kubectl apply": func(*corev1.Secret) {},
	"kubectl get | sed all names | kubectl apply": func(s *corev1.Secret) {
		for key, value := range s.Annotations {
			s.Annotations[key] = strings.ReplaceAll(value, "/orders", "/"+s.Name)
		}
	},
	"kubectl get | delete metadata.ownerReferences": func(s *corev1.Secret) { s.OwnerReferences = nil },
	"a backup, restored without owner and label":    func(s *corev1.Secret) { s.OwnerReferences, s.Labels = nil, nil },
	"a program that copies data and labels":         func(s *corev1.Secret) { s.OwnerReferences, s.Annotations = nil, nil },
	"Flagger": func(s *corev1.Secret) {
		s.OwnerReferences = []metav1.OwnerReference{{APIVersion: "flagger.app/v1beta1", Kind: "Canary", Name: "orders", UID: "canary", Controller: ptr.To(true)}}
		s.Finalizers = []string{"example.com/hold"} // the garbage collector knows no such Canary
	},
	"with an edited record": func(s *corev1.Secret) {
		s.Annotations["sts.alibabacloud.com/request-id"] = "edited"
	},
	"with an edited record and no owner": func(s *corev1.Secret) {
		s.OwnerReferences = nil
		s.Annotations["sts.alibabacloud.com/expires-at"] = s.Annotations["sts.alibabacloud.com/issued-at"]
	},
}

// copied makes a copy of a Secret under another name, with a key of its maker's.
func (w *world) copied(original, name string, change func(*corev1.Secret)) *corev1.Secret {
	w.Helper()
	from := w.secret(original)
	s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name,
		Labels: from.Labels, Annotations: from.Annotations, OwnerReferences: from.OwnerReferences}, Data: from.Data, Type: from.Type}
	s.Data["mine"] = []byte("keep")
	change(s)
	w.must(api.Create(w.ctx, s))
	w.Cleanup(func() { _ = api.Patch(context.Background(), s.DeepCopy(), merge(`{"metadata":{"finalizers":null}}`)) })
	return s
}

// A copy is never deleted, stripped or written to: not when what was copied expires, not at a rename, and not for another
// StsCredential that wants its name.
func TestCopyIsNobodys(t *testing.T) {
	for name, change := range copiedBy {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			c := w.credential("orders")
			w.pass(c)
			copied := w.copied("orders", "copy", change)
			untouched := func(when string) {
				t.Helper()
				if got := w.secret("copy"); got == nil || got.ResourceVersion != copied.ResourceVersion || string(got.Data["mine"]) != "keep" {
					t.Fatalf("%s, the copy is %v", when, got)
				}
			}
			for range 3 {
				w.step(40 * time.Minute)
				w.pass(c)
			}
			untouched("after it has expired")
			w.renamed(c, "orders-v2")
			w.step(2 * time.Hour)
			w.pass(c)
			untouched("after a rename")
			if w.secret("orders") != nil {
				t.Error("the former Secret stays")
			}
			other := w.credential("other", func(c *v1alpha1.StsCredential) { c.Spec.Secret.Name = "copy" })
			w.pass(other)
			untouched("after another StsCredential wanted its name")
			w.wantCondition(other, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonSecretConflict, "delete the Secret")
			w.deleted(other)
			untouched("after that is deleted")
		})
	}
}

// Who wants the name of a copy learns whose it is and how to go on, and can.
func TestCopyIsTold(t *testing.T) {
	for _, tt := range []struct {
		name    string
		owned   bool
		message string
	}{
		{"with its owner", true, "is a copy of Secret %s/orders, so it is left as it is: choose another spec.secret.name or delete the Secret"},
		{"without owner", false, "is a copy of Secret %s/orders, so it is left as it is: choose another spec.secret.name, delete the Secret, or let its owner consent with the annotation sts.alibabacloud.com/adopt: orders"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			c := w.credential("orders")
			w.pass(c)
			w.copied("orders", "copy", func(s *corev1.Secret) {
				if !tt.owned {
					s.OwnerReferences = nil
				}
			})
			w.renamed(c, "copy")
			w.wantCondition(c, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonSecretConflict, strings.ReplaceAll(tt.message, "%s", w.namespace))
			w.wantCalls(1)
			if tt.owned {
				w.must(api.Delete(w.ctx, w.secret("copy")))
			} else {
				w.editSecret("copy", func(s *corev1.Secret) { s.Annotations[v1alpha1.AnnotationAdopt] = "orders" })
			}
			w.pass(c)
			w.wantCalls(2)
			w.wantCondition(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
			w.wantWorking("copy")
			if !tt.owned {
				w.deleted(c)
				if s := w.secret("copy"); s == nil || len(s.Data) != 1 || string(s.Data["mine"]) != "keep" {
					t.Errorf("left of the adopted copy: %v", s)
				}
			}
		})
	}
}

// A Secret that was restored into another namespace is nobody's there.
func TestRestoredElsewhere(t *testing.T) {
	for name, owners := range map[string]func(from []metav1.OwnerReference) []metav1.OwnerReference{
		"with its owner":    func(from []metav1.OwnerReference) []metav1.OwnerReference { return from },
		"without its owner": func([]metav1.OwnerReference) []metav1.OwnerReference { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			from, to := newWorld(t), newWorld(t)
			original := from.credential("orders")
			from.pass(original)
			s := from.secret("orders")
			restored := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: to.namespace, Name: "orders", Labels: s.Labels, Annotations: s.Annotations,
				OwnerReferences: owners(s.OwnerReferences), Finalizers: []string{"example.com/hold"}}, Data: s.Data, Type: s.Type}
			to.must(api.Create(to.ctx, restored))
			t.Cleanup(func() {
				_ = api.Patch(context.Background(), restored.DeepCopy(), merge(`{"metadata":{"finalizers":null}}`))
			})
			c := to.credential("orders")
			to.pass(c)
			to.wantCalls(0)
			to.wantCondition(c, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonSecretConflict, "is a copy of Secret "+from.namespace+"/orders")
			if got := to.secret("orders"); !equality.Semantic.DeepEqual(got.Data, restored.Data) || got.Labels[secret.UIDLabel] != string(original.UID) {
				t.Errorf("it was written to: %v", got.ObjectMeta)
			}
		})
	}
}

// A consent on a Secret that the operator made changes nothing, whomever it names, and whatever else is done to the Secret.
func TestConsentOnTheOperatorsSecret(t *testing.T) {
	for name, change := range map[string]func(s *corev1.Secret){
		"to its own":                    func(s *corev1.Secret) { s.Annotations[v1alpha1.AnnotationAdopt] = "orders" },
		"to another":                    func(s *corev1.Secret) { s.Annotations[v1alpha1.AnnotationAdopt] = "other" },
		"to its own, without its owner": func(s *corev1.Secret) { s.Annotations[v1alpha1.AnnotationAdopt], s.OwnerReferences = "orders", nil },
		"to another, without its owner": func(s *corev1.Secret) { s.Annotations[v1alpha1.AnnotationAdopt], s.OwnerReferences = "other", nil },
		"to another, without owner and label": func(s *corev1.Secret) {
			s.Annotations[v1alpha1.AnnotationAdopt], s.OwnerReferences, s.Labels = "other", nil, nil
		},
		"to another, edited, without its owner": func(s *corev1.Secret) {
			s.Annotations[v1alpha1.AnnotationAdopt], s.OwnerReferences, s.Data[secret.KeySecurityToken] = "other", nil, []byte("x")
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			c := w.credential("orders")
			w.pass(c)
			w.editSecret("orders", change)
			other := w.credential("other", func(c *v1alpha1.StsCredential) { c.Spec.Secret.Name = "orders" })
			w.pass(other)
			w.wantCondition(other, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonSecretConflict, "belongs to StsCredential orders")
			w.pass(c)
			w.wantCondition(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
			w.wantWorking("orders")
			if name == "to another, edited, without its owner" { // adopted in doubt: what was written is taken out
				w.deleted(c)
				if s := w.secret("orders"); s != nil && len(s.Data) > 0 {
					t.Errorf("left are %d keys", len(s.Data))
				}
				return
			}
			if s := w.secret("orders"); !metav1.IsControlledBy(s, c) || s.Annotations["sts.alibabacloud.com/adopted"] != "" {
				t.Errorf("the Secret has lost its owner: %v", s.ObjectMeta)
			}
			w.deleted(c)
			w.eventually("the Secret is garbage collected", func(context.Context) bool { return w.secret("orders") == nil })
		})
	}
}

// earlier makes a Secret what an operator writes that knows version 1 of the record alone.
func earlier(s *corev1.Secret) {
	delete(s.Annotations, namesSecret)
	s.Annotations["sts.alibabacloud.com/data-hash"], _, _ = strings.Cut(s.Annotations["sts.alibabacloud.com/data-hash"], " ")
}

// An upgrade completes the record without a call to STS, and what the operator may do with the Secret is as before.
func TestUpgradeCompletesTheRecord(t *testing.T) {
	for _, tt := range []struct {
		name  string
		given func(w *world) *v1alpha1.StsCredential
		gone  bool // after the rename and its expiry
	}{
		{"a Secret of its own", func(w *world) *v1alpha1.StsCredential { return w.credential("orders") }, true},
		{"a retained one", func(w *world) *v1alpha1.StsCredential { return w.credential("orders", retain) }, true},
		{"an adopted one", func(w *world) *v1alpha1.StsCredential {
			w.somebodys("orders", "orders")
			return w.credential("orders")
		}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			c := tt.given(w)
			w.pass(c)
			now := w.secret("orders").Annotations
			w.editSecret("orders", earlier)
			w.restart()
			w.pass(c)
			w.wantCalls(1)
			if got := w.secret("orders"); got.Annotations[namesSecret] != w.namespace+"/orders" || !equality.Semantic.DeepEqual(got.Annotations, now) {
				t.Errorf("the record is %v", got.Annotations)
			}
			version := w.secret("orders").ResourceVersion
			w.pass(c)
			if w.secret("orders").ResourceVersion != version {
				t.Error("it was written to again")
			}
			w.renamed(c, "orders-v2")
			w.step(time.Hour)
			w.pass(c)
			if s := w.secret("orders"); tt.gone != (s == nil) || s != nil && len(s.Data) != 1 {
				t.Errorf("the former Secret is %v", s)
			}
		})
	}
}

// An adopted Secret whose StsCredential is deleted before its record was completed is cleaned all the same.
func TestReleaseOfAnEarlierRecord(t *testing.T) {
	w := newWorld(t)
	c := w.adopting()
	w.editSecret("orders", earlier)
	w.deleted(c)
	w.wantReleased("orders")
}
