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

// copySecret makes a copy of a Secret under another name, with a key of its maker's.
func (env *environment) copySecret(original, name string, change func(*corev1.Secret)) *corev1.Secret {
	env.Helper()
	from := env.Secret(original)
	s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: env.Namespace, Name: name,
		Labels: from.Labels, Annotations: from.Annotations, OwnerReferences: from.OwnerReferences}, Data: from.Data, Type: from.Type}
	s.Data["mine"] = []byte("keep")
	change(s)
	env.Must(api.Create(env.Context(), s))
	env.Cleanup(func() { _ = api.Patch(context.Background(), s.DeepCopy(), merge(`{"metadata":{"finalizers":null}}`)) })
	return s
}

// A copy is never deleted, stripped or written to: not when what was copied expires, not at a rename, and not for another
// StsCredential that wants its name.
func TestCopyIsNobodys(t *testing.T) {
	for name, change := range copiedBy {
		t.Run(name, func(t *testing.T) {
			env := newEnvironment(t)
			c := env.CreateCredential("orders")
			env.reconcile(c)
			copied := env.copySecret("orders", "copy", change)
			untouched := func(when string) {
				t.Helper()
				if got := env.Secret("copy"); got == nil || got.ResourceVersion != copied.ResourceVersion || string(got.Data["mine"]) != "keep" {
					t.Fatalf("%s, the copy is %v", when, got)
				}
			}
			for range 3 {
				env.Step(40 * time.Minute)
				env.reconcile(c)
			}
			untouched("after it has expired")
			env.renameSecret(c, "orders-v2")
			env.Step(2 * time.Hour)
			env.reconcile(c)
			untouched("after a rename")
			if env.Secret("orders") != nil {
				t.Error("the former Secret stays")
			}
			other := env.CreateCredential("other", func(c *v1alpha1.StsCredential) { c.Spec.Secret.Name = "copy" })
			env.reconcile(other)
			untouched("after another StsCredential wanted its name")
			env.WantCondition(other, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonSecretConflict, "delete the Secret")
			env.deleteCredential(other)
			untouched("after that is deleted")
		})
	}
}

// An StsCredential that wants the name of a copy reports whose it is and how to go on, and it works.
func TestCopyIsTold(t *testing.T) {
	for _, tt := range []struct {
		name    string
		owned   bool
		message string
	}{
		{"with its owner", true, "is a copy of Secret %s/orders. Choose another spec.secret.name or delete the Secret"},
		{"without owner", false, "is a copy of Secret %s/orders. Choose another spec.secret.name, delete the Secret, or let its owner consent with the annotation sts.alibabacloud.com/adopt: orders"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			env := newEnvironment(t)
			c := env.CreateCredential("orders")
			env.reconcile(c)
			env.copySecret("orders", "copy", func(s *corev1.Secret) {
				if !tt.owned {
					s.OwnerReferences = nil
				}
			})
			env.renameSecret(c, "copy")
			env.WantCondition(c, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonSecretConflict, strings.ReplaceAll(tt.message, "%s", env.Namespace))
			env.WantCalls(1)
			if tt.owned {
				env.Must(api.Delete(env.Context(), env.Secret("copy")))
			} else {
				env.EditSecret("copy", func(s *corev1.Secret) { s.Annotations[v1alpha1.AnnotationAdopt] = "orders" })
			}
			env.reconcile(c)
			env.WantCalls(2)
			env.WantCondition(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
			env.wantWorking("copy")
			if !tt.owned {
				env.deleteCredential(c)
				if s := env.Secret("copy"); s == nil || len(s.Data) != 1 || string(s.Data["mine"]) != "keep" {
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
			from, to := newEnvironment(t), newEnvironment(t)
			original := from.CreateCredential("orders")
			from.reconcile(original)
			s := from.Secret("orders")
			restored := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: to.Namespace, Name: "orders", Labels: s.Labels, Annotations: s.Annotations,
				OwnerReferences: owners(s.OwnerReferences), Finalizers: []string{"example.com/hold"}}, Data: s.Data, Type: s.Type}
			to.Must(api.Create(to.Context(), restored))
			t.Cleanup(func() {
				_ = api.Patch(context.Background(), restored.DeepCopy(), merge(`{"metadata":{"finalizers":null}}`))
			})
			c := to.CreateCredential("orders")
			to.reconcile(c)
			to.WantCalls(0)
			to.WantCondition(c, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonSecretConflict, "is a copy of Secret "+from.Namespace+"/orders")
			if got := to.Secret("orders"); !equality.Semantic.DeepEqual(got.Data, restored.Data) || got.Labels[secret.UIDLabel] != string(original.UID) {
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
			env := newEnvironment(t)
			c := env.CreateCredential("orders")
			env.reconcile(c)
			env.EditSecret("orders", change)
			other := env.CreateCredential("other", func(c *v1alpha1.StsCredential) { c.Spec.Secret.Name = "orders" })
			env.reconcile(other)
			env.WantCondition(other, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonSecretConflict, "belongs to StsCredential orders")
			env.reconcile(c)
			env.WantCondition(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
			env.wantWorking("orders")
			if name == "to another, edited, without its owner" { // adopted in doubt: what was written is taken out
				env.deleteCredential(c)
				if s := env.Secret("orders"); s != nil && len(s.Data) > 0 {
					t.Errorf("left are %d keys", len(s.Data))
				}
				return
			}
			if s := env.Secret("orders"); !metav1.IsControlledBy(s, c) || s.Annotations["sts.alibabacloud.com/adopted"] != "" {
				t.Errorf("the Secret has lost its owner: %v", s.ObjectMeta)
			}
			env.deleteCredential(c)
			env.Eventually("the Secret is garbage collected", func(context.Context) bool { return env.Secret("orders") == nil })
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
		given func(env *environment) *v1alpha1.StsCredential
		gone  bool // after the rename and its expiry
	}{
		{"a Secret of its own", func(env *environment) *v1alpha1.StsCredential { return env.CreateCredential("orders") }, true},
		{"a retained one", func(env *environment) *v1alpha1.StsCredential { return env.CreateCredential("orders", withRetain) }, true},
		{"an adopted one", func(env *environment) *v1alpha1.StsCredential {
			env.createForeignSecret("orders", "orders")
			return env.CreateCredential("orders")
		}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			env := newEnvironment(t)
			c := tt.given(env)
			env.reconcile(c)
			now := env.Secret("orders").Annotations
			env.EditSecret("orders", earlier)
			env.restartOperator()
			env.reconcile(c)
			env.WantCalls(1)
			if got := env.Secret("orders"); got.Annotations[namesSecret] != env.Namespace+"/orders" || !equality.Semantic.DeepEqual(got.Annotations, now) {
				t.Errorf("the record is %v", got.Annotations)
			}
			version := env.Secret("orders").ResourceVersion
			env.reconcile(c)
			if env.Secret("orders").ResourceVersion != version {
				t.Error("it was written to again")
			}
			env.renameSecret(c, "orders-v2")
			env.Step(time.Hour)
			env.reconcile(c)
			if s := env.Secret("orders"); tt.gone != (s == nil) || s != nil && len(s.Data) != 1 {
				t.Errorf("the former Secret is %v", s)
			}
		})
	}
}

// An adopted Secret whose StsCredential is deleted before its record was completed is cleaned all the same.
func TestReleaseOfAnEarlierRecord(t *testing.T) {
	env := newEnvironment(t)
	c := env.adoptSecret()
	env.EditSecret("orders", earlier)
	env.deleteCredential(c)
	env.wantStripped("orders")
}
