// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stscredential

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/credentials"
	"github.com/stscredential/sts-credential-operator/internal/secret"
)

// existing are Secrets of others in the world's namespace.
func (w *world) existing() map[string]*corev1.Secret {
	w.Helper()
	other := w.credential("payments")
	w.pass(other)
	w.must(client.IgnoreAlreadyExists(api.Create(w.ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "orders"}})))
	others := map[string]*corev1.Secret{
		"plain": {Data: map[string][]byte{"password": []byte("hunter2-hunter2!")}},
		"token": {Type: corev1.SecretTypeServiceAccountToken, ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{corev1.ServiceAccountNameKey: "orders"}},
			Data: map[string][]byte{"token": []byte("eyJhbGciOi.x.y")}},
		"tls":                    {Type: corev1.SecretTypeTLS, Data: map[string][]byte{"tls.crt": []byte("crt-of-tls"), "tls.key": []byte("key-of-tls")}},
		"sh.helm.release.v1.x.1": {Type: "helm.sh/release.v1", Data: map[string][]byte{"release": []byte("whole-release")}},
		"ours-by-name-only":      {ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app.kubernetes.io/managed-by": "sts-credential-operator"}}},
	}
	for name, s := range others {
		s.Namespace, s.Name = w.namespace, name
		w.must(api.Create(w.ctx, s))
	}
	others["payments"] = w.secret("payments")
	return others
}

// Somebody's Secret is neither overwritten, nor adopted, nor deleted along. It costs at most one call to STS, however often
// the operator is made to look.
func TestThreatExistingSecrets(t *testing.T) {
	w := newWorld(t)
	user := w.user("edit")
	others := w.existing()
	for name, other := range others {
		t.Run(name, func(t *testing.T) {
			calls := w.calls()
			c := w.asks("try-"+name, func(c *v1alpha1.StsCredential) { c.Spec.Secret.Name = name })
			w.must(user.Create(w.ctx, c))
			for range 3 {
				w.pass(c)
				w.step(conflictRetry)
			}
			if w.calls() > calls+1 {
				t.Errorf("%d calls to STS", w.calls()-calls)
			}
			w.wantCondition(c, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonSecretConflict, "")
			// Kubernetes itself fills the token.
			if got := w.secret(name); got.ResourceVersion != other.ResourceVersion && (name != "token" || len(got.OwnerReferences)+len(got.Labels) > 0) {
				t.Errorf("it was written to: %v", got.ObjectMeta)
			}
		})
	}
}

// A Secret that holds no AccessKey is no identity: STS is not asked, and nothing of it is told, not even to those who may
// write StsCredentials but not read Secrets.
func TestThreatIdentitySecrets(t *testing.T) {
	w := newWorld(t)
	user := w.user("edit")
	others := w.existing()
	asked := len(w.emulator.Calls())
	for name, other := range others {
		for key, value := range other.Data {
			c := w.asks(strings.ToLower(strings.ReplaceAll("try-"+name+"-"+key, "_", "-")), func(c *v1alpha1.StsCredential) {
				c.Spec.Identity = &v1alpha1.IdentitySpec{AccessKey: &v1alpha1.AccessKeyIdentity{SecretName: name, AccessKeyIDKey: key, AccessKeySecretKey: key}}
			})
			w.must(user.Create(w.ctx, c))
			w.pass(c)
			w.wantCondition(c, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonIdentityUnavailable, name)
			if told := fmt.Sprint(c.Status, w.told(), w.log); len(value) > 0 && name != "payments" && strings.Contains(told, string(value)) {
				t.Errorf("%s of Secret %s is told: %s", key, name, told)
			}
		}
	}
	if got := w.emulator.Calls()[asked:]; len(got) > 0 {
		t.Errorf("STS was asked: %+v", got)
	}
	elsewhere := newWorld(t)
	elsewhere.tenantUser("ram-user")
	c := w.asks("elsewhere", withAccessKey("ram-user")) // there is one in the other namespace
	w.must(user.Create(w.ctx, c))
	w.pass(c)
	w.wantCondition(c, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonIdentityUnavailable, w.namespace+"/ram-user: the Secret does not exist")
}

// forgeries are Secrets that pretend to be an StsCredential's, by what somebody can write who may write Secrets here.
var forgeries = map[string]func(w *world, c *v1alpha1.StsCredential, s *corev1.Secret){
	"its names in the record": func(w *world, _ *v1alpha1.StsCredential, s *corev1.Secret) {
		s.Labels = map[string]string{secret.UIDLabel: "x"}
		s.Annotations = map[string]string{"sts.alibabacloud.com/credential": w.namespace + "/orders", "sts.alibabacloud.com/secret": w.namespace + "/orders"}
	},
	"it as controller": func(_ *world, c *v1alpha1.StsCredential, s *corev1.Secret) {
		s.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(c, v1alpha1.GroupVersion.WithKind("StsCredential"))}
	},
	"a controller of its name and another UID": func(_ *world, c *v1alpha1.StsCredential, s *corev1.Secret) {
		s.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(c, v1alpha1.GroupVersion.WithKind("StsCredential"))}
		s.OwnerReferences[0].UID = "x"
		s.Finalizers = []string{"example.com/hold"} // or the garbage collector takes it
	},
	"a record full of other keys": func(w *world, c *v1alpha1.StsCredential, s *corev1.Secret) {
		s.Labels = map[string]string{secret.UIDLabel: string(c.UID)}
		s.Annotations = map[string]string{"sts.alibabacloud.com/managed-keys": "password,../x,", "sts.alibabacloud.com/managed-labels": "a,b", "sts.alibabacloud.com/data-hash": "v1:",
			"sts.alibabacloud.com/credential": w.namespace + "/orders", "sts.alibabacloud.com/secret": w.namespace + "/orders"}
	},
}

// A label with the UID of an StsCredential, or its name without the Secret's, makes no Secret the operator's: a copy has them, too.
func TestThreatMarkedSecretIsNobodys(t *testing.T) {
	for name, mark := range map[string]func(w *world, c *v1alpha1.StsCredential, s *corev1.Secret){
		"the UID": func(_ *world, c *v1alpha1.StsCredential, s *corev1.Secret) {
			s.Labels = map[string]string{secret.UIDLabel: string(c.UID)}
		},
		"the name": func(w *world, _ *v1alpha1.StsCredential, s *corev1.Secret) {
			s.Labels = map[string]string{secret.UIDLabel: "x"}
			s.Annotations = map[string]string{"sts.alibabacloud.com/credential": w.namespace + "/orders"}
		},
		"the UID, and a record that names neither": func(_ *world, c *v1alpha1.StsCredential, s *corev1.Secret) {
			s.Labels = map[string]string{secret.UIDLabel: string(c.UID)}
			s.Annotations = map[string]string{"sts.alibabacloud.com/managed-keys": "other", "sts.alibabacloud.com/data-hash": "v1:"}
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			user := w.user("edit")
			c := w.asks("orders")
			w.must(user.Create(w.ctx, c))
			marked := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "orders"}, Data: map[string][]byte{"other": []byte("x")}}
			mark(w, c, marked)
			w.must(user.Create(w.ctx, marked))
			w.pass(c)
			w.wantCalls(0)
			w.wantCondition(c, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonSecretConflict, "sts.alibabacloud.com/adopt: orders")
			if got := w.secret("orders"); got.ResourceVersion != marked.ResourceVersion {
				t.Errorf("it was written to: %v", got.ObjectMeta)
			}
		})
	}
}

// A forged Secret is written over, as one that was edited. It brings no credentials that a grant does not give, and
// tells nobody anything: who can forge it can write the namespace's Secrets anyhow.
func TestThreatForgedSecrets(t *testing.T) {
	for name, forge := range forgeries {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.revoke()
			user := w.user("edit")
			c := w.asks("orders")
			w.must(user.Create(w.ctx, c))
			forged := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "orders"}, Data: map[string][]byte{"other": []byte("x")}}
			forge(w, c, forged)
			w.must(user.Create(w.ctx, forged))
			w.Cleanup(func() { _ = api.Patch(context.Background(), forged, merge(`{"metadata":{"finalizers":null}}`)) })
			w.pass(c)
			w.wantCalls(0)
			w.wantCondition(c, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonRoleNotGranted, "")
			if got := w.secret("orders"); len(got.Data) != 1 || got.Annotations["sts.alibabacloud.com/access-key-id"] != "" {
				t.Errorf("credentials were written without a grant: %v", got)
			}
			w.grant(nil)
			w.pass(c)
			w.wantCalls(1)
			w.wantCondition(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
			if id := w.wantWorking("orders"); id != c.Status.AccessKeyID || string(w.secret("orders").Data["other"]) != "x" {
				t.Errorf("the Secret holds %s, the status says %s", id, c.Status.AccessKeyID)
			}
		})
	}
}

// forgedRecord is a Secret with a whole record, made with the operator's own code and a triple of the forger's.
func (w *world) forgedRecord(c *v1alpha1.StsCredential, change func(*credentials.Credentials)) *corev1.Secret {
	session := credentials.Credentials{AccessKeyID: "STS.Nforged", AccessKeySecret: "forged", SecurityToken: "forged", RequestID: "forged",
		IssuedAt: w.clock.Now(), ExpiresAt: w.clock.Now().Add(time.Hour), AssumedRoleARN: "acs:ram::1:role/forged/x"}
	if change != nil {
		change(&session)
	}
	asked, err := w.readSpec(c)
	w.must(err)
	request := target{credential: c, spec: asked}.stsRequest()
	forged, err := secret.Render(c, asked.layout, session, request, secret.Occasion{})
	w.must(err)
	return forged
}

// The record is not signed: whoever may write the namespace's Secrets can make one up, and its workloads use what is in it
// until the record says that it expires. It costs no call and gives no role; docs/security.md says so.
func TestThreatForgedRecord(t *testing.T) {
	w := newWorld(t)
	w.revoke()
	user := w.user("edit")
	c := w.asks("orders")
	w.must(user.Create(w.ctx, c))
	w.must(user.Create(w.ctx, w.forgedRecord(c, nil)))
	w.pass(c)
	w.wantCalls(0)
	w.wantCondition(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "role/forged/x")
	w.wantCondition(c, v1alpha1.ConditionRenewalFailing, metav1.ConditionTrue, v1alpha1.ReasonRoleNotGranted, "")
	w.grant(nil)
	w.step(time.Hour)
	w.pass(c)
	w.wantCalls(1)
	w.wantWorking("orders")
}

// No session lives for decades: a record that says so is forged, and must not keep workloads on a foreign triple for ever.
func TestThreatForgedLifetime(t *testing.T) {
	w := newWorld(t)
	user := w.user("edit")
	c := w.asks("orders")
	w.must(user.Create(w.ctx, c))
	w.must(user.Create(w.ctx, w.forgedRecord(c, func(s *credentials.Credentials) { s.ExpiresAt = s.IssuedAt.Add(70 * 365 * 24 * time.Hour) })))
	w.pass(c)
	w.wantCalls(1)
	w.wantWorking("orders")
}

// A record that does not fit into the status must not keep the operator from repairing the Secret.
func TestThreatForgedNonsense(t *testing.T) {
	w := newWorld(t)
	user := w.user("edit")
	c := w.asks("orders")
	w.must(user.Create(w.ctx, c))
	w.must(user.Create(w.ctx, w.forgedRecord(c, func(s *credentials.Credentials) { s.AssumedRoleARN = strings.Repeat("x", 40_000) })))
	w.pass(c)
	w.wantCalls(1)
	w.wantWorking("orders")
}

// On other types than Opaque Kubernetes and others act.
func TestThreatForgedType(t *testing.T) {
	w := newWorld(t)
	user := w.user("edit")
	c := w.asks("orders")
	w.must(user.Create(w.ctx, c))
	forged := w.forgedRecord(c, nil)
	forged.Type = "example.com/acted-upon"
	w.must(user.Create(w.ctx, forged))
	w.pass(c)
	w.wantCondition(c, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonSecretConflict, "")
	if got := w.secret("orders"); got.ResourceVersion != forged.ResourceVersion {
		t.Error("it was written to")
	}
}

// A Secret that was copied to another namespace with all that marks it concerns nobody there or here.
func TestThreatCopiedSecret(t *testing.T) {
	victim := newWorld(t)
	theirs := victim.credential("orders")
	victim.pass(theirs)
	original := victim.secret("orders")
	w := newWorld(t)
	w.revoke()
	user := w.user("edit")
	for name, owners := range map[string][]metav1.OwnerReference{"with its owner": original.OwnerReferences, "without its owner": nil} {
		t.Run(name, func(t *testing.T) {
			copied := original.DeepCopy()
			copied.ObjectMeta = metav1.ObjectMeta{Namespace: w.namespace, Name: "orders", Labels: original.Labels, Annotations: original.Annotations, OwnerReferences: owners}
			copied.Finalizers = []string{"example.com/hold"} // or the garbage collector takes it: its owner is not here
			w.must(user.Create(w.ctx, copied))
			for _, request := range credentialOfSecret(w.ctx, copied) {
				if request.Namespace != w.namespace {
					t.Errorf("it wakes %v", request)
				}
			}
			c := w.asks("orders")
			w.must(user.Create(w.ctx, c))
			w.pass(c)
			w.wantCalls(0)
			w.wantCondition(c, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonRoleNotGranted, "")
			w.must(user.Delete(w.ctx, c))
			w.must(client.IgnoreNotFound(user.Delete(w.ctx, copied)))
			w.must(client.IgnoreNotFound(user.Patch(w.ctx, copied, merge(`{"metadata":{"finalizers":null}}`))))
			w.eventually("the copy is gone", func(context.Context) bool { return w.secret("orders") == nil })
		})
	}
	victim.pass(theirs)
	victim.wantCalls(1)
	if got := victim.secret("orders"); got.ResourceVersion != original.ResourceVersion {
		t.Error("the original was written to")
	}
}

func TestThreatTwoControllers(t *testing.T) {
	w := newWorld(t)
	user := w.user("edit")
	c := w.asks("orders")
	w.must(user.Create(w.ctx, c))
	ours := *metav1.NewControllerRef(c, v1alpha1.GroupVersion.WithKind("StsCredential"))
	err := user.Create(w.ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "orders",
		OwnerReferences: []metav1.OwnerReference{{APIVersion: "v1", Kind: "ConfigMap", Name: "x", UID: "x", Controller: ptr.To(true)}, ours}}})
	if !apierrors.IsInvalid(err) {
		t.Errorf("a Secret of two controllers: %v, want it refused", err)
	}
}
