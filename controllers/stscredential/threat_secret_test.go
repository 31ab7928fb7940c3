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
	"github.com/stscredential/sts-credential-operator/internal/retry"
	"github.com/stscredential/sts-credential-operator/internal/secret"
)

// createForeignSecrets are Secrets of others in the test's namespace.
func (env *environment) createForeignSecrets() map[string]*corev1.Secret {
	env.Helper()
	other := env.CreateCredential("payments")
	env.reconcile(other)
	env.Must(client.IgnoreAlreadyExists(api.Create(env.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: env.Namespace, Name: "orders"}})))
	others := map[string]*corev1.Secret{
		"plain": {Data: map[string][]byte{"password": []byte("hunter2-hunter2!")}},
		"token": {Type: corev1.SecretTypeServiceAccountToken, ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{corev1.ServiceAccountNameKey: "orders"}},
			Data: map[string][]byte{"token": []byte("eyJhbGciOi.x.y")}},
		"tls":                    {Type: corev1.SecretTypeTLS, Data: map[string][]byte{"tls.crt": []byte("crt-of-tls"), "tls.key": []byte("key-of-tls")}},
		"sh.helm.release.v1.x.1": {Type: "helm.sh/release.v1", Data: map[string][]byte{"release": []byte("whole-release")}},
		"managed-by-only":        {ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app.kubernetes.io/managed-by": "sts-credential-operator"}}},
	}
	for name, s := range others {
		s.Namespace, s.Name = env.Namespace, name
		env.Must(api.Create(env.Context(), s))
	}
	others["payments"] = env.Secret("payments")
	return others
}

// Somebody's Secret is neither overwritten, nor adopted, nor deleted along. It costs at most one call to STS, however often
// the operator reconciles.
func TestThreatExistingSecrets(t *testing.T) {
	env := newEnvironment(t)
	user := env.user("edit")
	others := env.createForeignSecrets()
	for name, other := range others {
		t.Run(name, func(t *testing.T) {
			calls := env.Calls()
			c := env.NewCredential("try-"+name, func(c *v1alpha1.StsCredential) { c.Spec.Secret.Name = name })
			env.Must(user.Create(env.Context(), c))
			for range 3 {
				env.reconcile(c)
				env.Step(retry.Blocked)
			}
			if env.Calls() > calls+1 {
				t.Errorf("%d calls to STS", env.Calls()-calls)
			}
			env.WantCondition(c, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonSecretConflict, "")
			// Kubernetes itself fills the token.
			if got := env.Secret(name); got.ResourceVersion != other.ResourceVersion && (name != "token" || len(got.OwnerReferences)+len(got.Labels) > 0) {
				t.Errorf("it was written to: %v", got.ObjectMeta)
			}
		})
	}
}

// A Secret that holds no AccessKey is no identity: STS is not asked, and nothing of it is reported, not even to those who may
// write StsCredentials but not read Secrets.
func TestThreatIdentitySecrets(t *testing.T) {
	env := newEnvironment(t)
	user := env.user("edit")
	others := env.createForeignSecrets()
	asked := len(env.Emulator.Calls())
	for name, other := range others {
		for key, value := range other.Data {
			c := env.NewCredential(strings.ToLower(strings.ReplaceAll("try-"+name+"-"+key, "_", "-")), func(c *v1alpha1.StsCredential) {
				c.Spec.Identity = &v1alpha1.IdentitySpec{AccessKey: &v1alpha1.AccessKeyIdentity{SecretName: name, AccessKeyIDKey: key, AccessKeySecretKey: key}}
			})
			env.Must(user.Create(env.Context(), c))
			env.reconcile(c)
			env.WantCondition(c, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonIdentityUnavailable, name)
			if reported := fmt.Sprint(c.Status, env.RecordedEvents(), env.log); len(value) > 0 && name != "payments" && strings.Contains(reported, string(value)) {
				t.Errorf("%s of Secret %s is reported: %s", key, name, reported)
			}
		}
	}
	if got := env.Emulator.Calls()[asked:]; len(got) > 0 {
		t.Errorf("STS was asked: %+v", got)
	}
	elsewhere := newEnvironment(t)
	elsewhere.addUser("ram-user")
	c := env.NewCredential("elsewhere", withAccessKey("ram-user")) // there is one in the other namespace
	env.Must(user.Create(env.Context(), c))
	env.reconcile(c)
	env.WantCondition(c, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonIdentityUnavailable, env.Namespace+"/ram-user: the Secret does not exist")
}

// forgeries are Secrets that pretend to be an StsCredential's, by what somebody can write who may write Secrets here.
var forgeries = map[string]func(env *environment, c *v1alpha1.StsCredential, s *corev1.Secret){
	"its names in the record": func(env *environment, _ *v1alpha1.StsCredential, s *corev1.Secret) {
		s.Labels = map[string]string{secret.UIDLabel: "x"}
		s.Annotations = map[string]string{"sts.alibabacloud.com/credential": env.Namespace + "/orders", "sts.alibabacloud.com/secret": env.Namespace + "/orders"}
	},
	"it as controller": func(_ *environment, c *v1alpha1.StsCredential, s *corev1.Secret) {
		s.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(c, v1alpha1.GroupVersion.WithKind("StsCredential"))}
	},
	"a controller of its name and another UID": func(_ *environment, c *v1alpha1.StsCredential, s *corev1.Secret) {
		s.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(c, v1alpha1.GroupVersion.WithKind("StsCredential"))}
		s.OwnerReferences[0].UID = "x"
		s.Finalizers = []string{"example.com/hold"} // or the garbage collector takes it
	},
	"a record full of other keys": func(env *environment, c *v1alpha1.StsCredential, s *corev1.Secret) {
		s.Labels = map[string]string{secret.UIDLabel: string(c.UID)}
		s.Annotations = map[string]string{"sts.alibabacloud.com/managed-keys": "password,../x,", "sts.alibabacloud.com/managed-labels": "a,b", "sts.alibabacloud.com/data-hash": "v1:",
			"sts.alibabacloud.com/credential": env.Namespace + "/orders", "sts.alibabacloud.com/secret": env.Namespace + "/orders"}
	},
}

// A label with the UID of an StsCredential, or its name without the Secret's, makes no Secret the operator's: a copy has them, too.
func TestThreatMarkedSecretIsNobodys(t *testing.T) {
	for name, mark := range map[string]func(env *environment, c *v1alpha1.StsCredential, s *corev1.Secret){
		"the UID": func(_ *environment, c *v1alpha1.StsCredential, s *corev1.Secret) {
			s.Labels = map[string]string{secret.UIDLabel: string(c.UID)}
		},
		"the name": func(env *environment, _ *v1alpha1.StsCredential, s *corev1.Secret) {
			s.Labels = map[string]string{secret.UIDLabel: "x"}
			s.Annotations = map[string]string{"sts.alibabacloud.com/credential": env.Namespace + "/orders"}
		},
		"the UID, and a record that names neither": func(_ *environment, c *v1alpha1.StsCredential, s *corev1.Secret) {
			s.Labels = map[string]string{secret.UIDLabel: string(c.UID)}
			s.Annotations = map[string]string{"sts.alibabacloud.com/managed-keys": "other", "sts.alibabacloud.com/data-hash": "v1:"}
		},
	} {
		t.Run(name, func(t *testing.T) {
			env := newEnvironment(t)
			user := env.user("edit")
			c := env.NewCredential("orders")
			env.Must(user.Create(env.Context(), c))
			marked := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: env.Namespace, Name: "orders"}, Data: map[string][]byte{"other": []byte("x")}}
			mark(env, c, marked)
			env.Must(user.Create(env.Context(), marked))
			env.reconcile(c)
			env.WantCalls(0)
			env.WantCondition(c, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonSecretConflict, "sts.alibabacloud.com/adopt: orders")
			if got := env.Secret("orders"); got.ResourceVersion != marked.ResourceVersion {
				t.Errorf("it was written to: %v", got.ObjectMeta)
			}
		})
	}
}

// A forged Secret is written over, as one that was edited. It brings no credentials that a grant does not give, and
// reports nothing: who can forge it can write the namespace's Secrets anyhow.
func TestThreatForgedSecrets(t *testing.T) {
	for name, forge := range forgeries {
		t.Run(name, func(t *testing.T) {
			env := newEnvironment(t)
			env.Revoke()
			user := env.user("edit")
			c := env.NewCredential("orders")
			env.Must(user.Create(env.Context(), c))
			forged := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: env.Namespace, Name: "orders"}, Data: map[string][]byte{"other": []byte("x")}}
			forge(env, c, forged)
			env.Must(user.Create(env.Context(), forged))
			env.Cleanup(func() { _ = api.Patch(context.Background(), forged, merge(`{"metadata":{"finalizers":null}}`)) })
			env.reconcile(c)
			env.WantCalls(0)
			env.WantCondition(c, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonRoleNotGranted, "")
			if got := env.Secret("orders"); len(got.Data) != 1 || got.Annotations["sts.alibabacloud.com/access-key-id"] != "" {
				t.Errorf("credentials were written without a grant: %v", got)
			}
			env.Grant(nil)
			env.reconcile(c)
			env.WantCalls(1)
			env.WantCondition(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
			if id := env.wantWorking("orders"); id != c.Status.AccessKeyID || string(env.Secret("orders").Data["other"]) != "x" {
				t.Errorf("the Secret holds %s, the status says %s", id, c.Status.AccessKeyID)
			}
		})
	}
}

// forgeRecord is a Secret with a whole record, made with the operator's own code and credentials of the forger's.
func (env *environment) forgeRecord(c *v1alpha1.StsCredential, change func(*credentials.Credentials)) *corev1.Secret {
	session := credentials.Credentials{AccessKeyID: "STS.Nforged", AccessKeySecret: "forged", SecurityToken: "forged", RequestID: "forged",
		IssuedAt: env.OperatorClock.Now(), ExpiresAt: env.OperatorClock.Now().Add(time.Hour), AssumedRoleARN: "acs:ram::1:role/forged/x"}
	if change != nil {
		change(&session)
	}
	asked, err := readSpec(c, "", "")
	env.Must(err)
	request := target{credential: c, spec: asked}.stsRequest()
	forged, err := secret.Render(c, asked.layout, session, request, secret.WriteOptions{})
	env.Must(err)
	return forged
}

// The record is not signed: whoever may write the namespace's Secrets can make one up, and its workloads use what is in it
// until the record says that it expires. It costs no call and gives no role; docs/security.md says so.
func TestThreatForgedRecord(t *testing.T) {
	env := newEnvironment(t)
	env.Revoke()
	user := env.user("edit")
	c := env.NewCredential("orders")
	env.Must(user.Create(env.Context(), c))
	env.Must(user.Create(env.Context(), env.forgeRecord(c, nil)))
	env.reconcile(c)
	env.WantCalls(0)
	env.WantCondition(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "role/forged/x")
	env.WantCondition(c, v1alpha1.ConditionRenewalFailing, metav1.ConditionTrue, v1alpha1.ReasonRoleNotGranted, "")
	env.Grant(nil)
	env.Step(time.Hour)
	env.reconcile(c)
	env.WantCalls(1)
	env.wantWorking("orders")
}

// No session lives for decades: a record that says so is forged, and must not keep workloads on a foreign credentials for ever.
func TestThreatForgedLifetime(t *testing.T) {
	env := newEnvironment(t)
	user := env.user("edit")
	c := env.NewCredential("orders")
	env.Must(user.Create(env.Context(), c))
	env.Must(user.Create(env.Context(), env.forgeRecord(c, func(s *credentials.Credentials) { s.ExpiresAt = s.IssuedAt.Add(70 * 365 * 24 * time.Hour) })))
	env.reconcile(c)
	env.WantCalls(1)
	env.wantWorking("orders")
}

// A record that does not fit into the status must not keep the operator from repairing the Secret.
func TestThreatForgedNonsense(t *testing.T) {
	env := newEnvironment(t)
	user := env.user("edit")
	c := env.NewCredential("orders")
	env.Must(user.Create(env.Context(), c))
	env.Must(user.Create(env.Context(), env.forgeRecord(c, func(s *credentials.Credentials) { s.AssumedRoleARN = strings.Repeat("x", 40_000) })))
	env.reconcile(c)
	env.WantCalls(1)
	env.wantWorking("orders")
}

// On other types than Opaque Kubernetes and others act.
func TestThreatForgedType(t *testing.T) {
	env := newEnvironment(t)
	user := env.user("edit")
	c := env.NewCredential("orders")
	env.Must(user.Create(env.Context(), c))
	forged := env.forgeRecord(c, nil)
	forged.Type = "example.com/acted-upon"
	env.Must(user.Create(env.Context(), forged))
	env.reconcile(c)
	env.WantCondition(c, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonSecretConflict, "")
	if got := env.Secret("orders"); got.ResourceVersion != forged.ResourceVersion {
		t.Error("it was written to")
	}
}

// A Secret that was copied to another namespace with all that marks it concerns nobody there or here.
func TestThreatCopiedSecret(t *testing.T) {
	victim := newEnvironment(t)
	theirs := victim.CreateCredential("orders")
	victim.reconcile(theirs)
	original := victim.Secret("orders")
	env := newEnvironment(t)
	env.Revoke()
	user := env.user("edit")
	for name, owners := range map[string][]metav1.OwnerReference{"with its owner": original.OwnerReferences, "without its owner": nil} {
		t.Run(name, func(t *testing.T) {
			copied := original.DeepCopy()
			copied.ObjectMeta = metav1.ObjectMeta{Namespace: env.Namespace, Name: "orders", Labels: original.Labels, Annotations: original.Annotations, OwnerReferences: owners}
			copied.Finalizers = []string{"example.com/hold"} // or the garbage collector takes it: its owner is not here
			env.Must(user.Create(env.Context(), copied))
			for _, request := range (watches{env.Client}).credentialsOfSecret(env.Context(), copied) {
				if request.Namespace != env.Namespace {
					t.Errorf("it enqueues %v", request)
				}
			}
			c := env.NewCredential("orders")
			env.Must(user.Create(env.Context(), c))
			env.reconcile(c)
			env.WantCalls(0)
			env.WantCondition(c, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonRoleNotGranted, "")
			env.Must(user.Delete(env.Context(), c))
			env.Must(client.IgnoreNotFound(user.Delete(env.Context(), copied)))
			env.Must(client.IgnoreNotFound(user.Patch(env.Context(), copied, merge(`{"metadata":{"finalizers":null}}`))))
			env.Eventually("the copy is gone", func(context.Context) bool { return env.Secret("orders") == nil })
		})
	}
	victim.reconcile(theirs)
	victim.WantCalls(1)
	if got := victim.Secret("orders"); got.ResourceVersion != original.ResourceVersion {
		t.Error("the original was written to")
	}
}

func TestThreatTwoControllers(t *testing.T) {
	env := newEnvironment(t)
	user := env.user("edit")
	c := env.NewCredential("orders")
	env.Must(user.Create(env.Context(), c))
	ours := *metav1.NewControllerRef(c, v1alpha1.GroupVersion.WithKind("StsCredential"))
	err := user.Create(env.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: env.Namespace, Name: "orders",
		OwnerReferences: []metav1.OwnerReference{{APIVersion: "v1", Kind: "ConfigMap", Name: "x", UID: "x", Controller: ptr.To(true)}, ours}}})
	if !apierrors.IsInvalid(err) {
		t.Errorf("a Secret of two controllers: %v, want it refused", err)
	}
}
