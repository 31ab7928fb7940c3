// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stscredential

import (
	"context"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/credentials"
	"github.com/stscredential/sts-credential-operator/internal/identity"
	"github.com/stscredential/sts-credential-operator/internal/sts"
	"github.com/stscredential/sts-credential-operator/test/stsemulator"
)

const (
	tenant     = "9876543210987654"
	tenantRole = "acs:ram::" + tenant + ":role/shop"
	provider   = "acs:ram::" + tenant + ":oidc-provider/ack-rrsa-c1"
	issuer     = "https://kubernetes.default.svc"
)

// trustServiceAccounts switches ServiceAccounts on and makes a role trust one of them, with the API server's own keys.
func (w *world) trustServiceAccounts(name, provider, role string) {
	w.Helper()
	w.ServiceAccounts = identity.NewServiceAccounts(identity.ServiceAccountsOptions{Client: api, STS: w.client, ProviderARN: provider})
	published, err := kubernetes.NewForConfigOrDie(config).RESTClient().Get().AbsPath("/openid/v1/jwks").DoRaw(w.ctx)
	w.must(err)
	keys, err := stsemulator.ParseJWKS(published)
	w.must(err)
	w.emulator.AddOIDCProvider(stsemulator.OIDCProvider{ARN: provider, Issuer: issuer, ClientIDs: []string{"sts.aliyuncs.com"}, JWKS: keys})
	w.emulator.AddRole(stsemulator.Role{ARN: role, Trust: []stsemulator.Statement{{
		Federated: []string{provider},
		StringEquals: map[string][]string{
			"oidc:iss": {issuer}, "oidc:aud": {"sts.aliyuncs.com"}, "oidc:sub": {"system:serviceaccount:" + w.namespace + ":" + name},
		},
	}}})
}

func (w *world) serviceAccount(name string) {
	w.Helper()
	w.must(client.IgnoreAlreadyExists(api.Create(w.ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name}})))
}

func asServiceAccount(name string) func(*v1alpha1.StsCredential) {
	return func(c *v1alpha1.StsCredential) {
		c.Spec.RoleARN = tenantRole
		c.Spec.Identity = &v1alpha1.IdentitySpec{ServiceAccount: &v1alpha1.ServiceAccountIdentity{Name: name}}
	}
}

// A ServiceAccount asks with a token that the real API server minted, without a key and without a grant.
func TestServiceAccountIdentity(t *testing.T) {
	w := newWorld(t)
	w.revoke()
	w.trustServiceAccounts("orders", provider, tenantRole)
	w.serviceAccount("orders")
	w.serviceAccount("other")
	c := w.credential("orders", asServiceAccount("orders"))
	w.pass(c)
	w.wantCondition(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, tenantRole)
	w.wantWorking("orders")
	w.wantCalls(0)
	calls := w.emulator.Calls()
	if got := calls[0]; got.Action != "AssumeRoleWithOIDC" || got.OIDCTokenIn != "body" || got.SessionName != w.namespace+".orders" {
		t.Errorf("STS was asked %+v", got)
	}
	if c.Status.GrantName != "" {
		t.Errorf("grantName = %s: no grant is needed", c.Status.GrantName)
	}
	w.pass(c)
	w.step(45 * time.Minute)
	w.pass(c)
	if got := w.counted("AssumeRoleWithOIDC"); got != 2 {
		t.Errorf("%d calls after a renewal, want 2", got)
	}

	refused := w.credential("refused", asServiceAccount("other"))
	w.pass(refused)
	w.wantCondition(refused, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonRoleRefused, "system:serviceaccount:"+w.namespace+":other")
	missing := w.credential("missing", asServiceAccount("nobody"))
	w.pass(missing)
	w.wantCondition(missing, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonIdentityUnavailable, "nobody")
	w.wantSilent(c)

	w.ServiceAccounts = nil
	off := w.credential("off", asServiceAccount("orders"))
	w.pass(off)
	w.wantCondition(off, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonIdentityUnavailable, "--service-account-identity")
	w.wantCondition(off, v1alpha1.ConditionStalled, metav1.ConditionTrue, v1alpha1.ReasonIdentityUnavailable, "")
}

// tenantUser makes a RAM user of the tenant's account, which its role trusts, and a Secret with its AccessKey.
func (w *world) tenantUser(secretName string) stsemulator.AccessKey {
	w.Helper()
	key := w.emulator.AddUser(tenant, "shop")
	w.emulator.AddRole(stsemulator.Role{ARN: tenantRole, Trust: []stsemulator.Statement{{RAM: []string{"acs:ram::" + tenant + ":user/shop"}}}})
	w.must(api.Create(w.ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: secretName},
		StringData: map[string]string{"accessKeyId": key.ID, "accessKeySecret": key.Secret}}))
	return key
}

func withAccessKey(secretName string) func(*v1alpha1.StsCredential) {
	return func(c *v1alpha1.StsCredential) {
		c.Spec.RoleARN = tenantRole
		c.Spec.Identity = &v1alpha1.IdentitySpec{AccessKey: &v1alpha1.AccessKeyIdentity{SecretName: secretName}}
	}
}

func TestAccessKeyIdentity(t *testing.T) {
	w := newWorld(t)
	w.revoke()
	c := w.credential("orders", withAccessKey("ram-user"))
	w.pass(c)
	w.wantCalls(0)
	w.wantCondition(c, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonIdentityUnavailable, "ram-user")
	key := w.tenantUser("ram-user")
	w.step(time.Minute)
	w.pass(c)
	w.wantCondition(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, tenantRole)
	w.wantWorking("orders")
	if !strings.Contains(w.log.String(), "acs:ram::"+tenant+":user/shop") {
		t.Errorf("the audit line does not name the caller: %s", w.log)
	}

	// Its key is replaced: the old one is refused, the Secret is read anew at the next renewal.
	next := w.emulator.AddUser(tenant, "shop")
	w.emulator.DeleteKey(key.ID)
	w.editSecret("ram-user", func(s *corev1.Secret) {
		s.Data["accessKeyId"], s.Data["accessKeySecret"] = []byte(next.ID), []byte(next.Secret)
	})
	w.step(45 * time.Minute)
	w.pass(c)
	w.wantCondition(c, v1alpha1.ConditionRenewalFailing, "", "", "")
	calls := w.emulator.Calls()
	if got := calls[len(calls)-1]; got.AccessKeyID != next.ID || got.Code != "" {
		t.Errorf("the last call was %+v, want one with the new key", got)
	}

	w.emulator.SetKeyActive(next.ID, false)
	w.step(45 * time.Minute)
	w.pass(c)
	w.wantCondition(c, v1alpha1.ConditionRenewalFailing, metav1.ConditionTrue, v1alpha1.ReasonIdentityUnavailable, "")
	w.wantSilent(c)
	for _, damaged := range []string{"accessKeyId", "accessKeySecret"} {
		var whole []byte
		w.editSecret("ram-user", func(s *corev1.Secret) { whole = s.Data[damaged]; delete(s.Data, damaged) })
		bad := w.credential("without-"+strings.ToLower(damaged), withAccessKey("ram-user"))
		w.pass(bad)
		w.wantCondition(bad, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonIdentityUnavailable, damaged)
		w.editSecret("ram-user", func(s *corev1.Secret) { s.Data[damaged] = whole })
	}
}

// asked counts the calls that were made with an AccessKey.
func (w *world) asked(accessKeyID string) (n int) {
	for _, c := range w.emulator.Calls() {
		if c.AccessKeyID == accessKeyID {
			n++
		}
	}
	return n
}

// Nothing of one tenant slows another's renewals: not its throttling, not its hanging calls, not its wrong key.
func TestTenantsDoNotSlowEachOther(t *testing.T) {
	for _, tt := range []struct {
		name  string
		fault func(key stsemulator.AccessKey) stsemulator.Fault
		// atMost so many calls of the tenant, who asks once who it is.
		atMost int
	}{
		{"throttled", func(key stsemulator.AccessKey) stsemulator.Fault {
			return stsemulator.Fault{AccessKeyID: key.ID, Action: "AssumeRole", Kind: stsemulator.FaultError, Code: "Throttling.User"}
		}, 2},
		{"hanging", func(key stsemulator.AccessKey) stsemulator.Fault {
			return stsemulator.Fault{AccessKeyID: key.ID, Action: "AssumeRole", Kind: stsemulator.FaultHang}
		}, 2},
		{"unknown key", func(key stsemulator.AccessKey) stsemulator.Fault {
			return stsemulator.Fault{AccessKeyID: key.ID, Kind: stsemulator.FaultError, Code: "InvalidAccessKeyId.NotFound"}
		}, 16},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			w.patient()
			key := w.tenantUser("ram-user")
			w.Budget.LimitInFlight(2) // one for each of two
			w.emulator.Inject(tt.fault(key))
			w.manage() // four workers
			var slow []*v1alpha1.StsCredential
			for _, name := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} {
				slow = append(slow, w.credential(name, withAccessKey("ram-user")))
			}
			w.eventually("the tenant calls", func(context.Context) bool { return w.asked(key.ID) > 0 })
			w.become(w.credential("quick"), v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued)
			// Had all eight of the tenant been let through, they would have held all four workers before the quick one.
			if asked := w.asked(key.ID); asked > tt.atMost {
				t.Errorf("%d of the tenant's calls were made before the other tenant's", asked)
			}
			for _, c := range slow {
				w.must(api.Get(w.ctx, client.ObjectKeyFromObject(c), c))
				w.wantNotReady(c)
			}
		})
	}
}

// Whoever of an account asks, its calls share one budget; other accounts have their own.
func TestBudgetIsTheAccounts(t *testing.T) {
	w := newWorld(t)
	w.trustServiceAccounts("orders", provider, tenantRole)
	w.serviceAccount("orders")
	key := w.emulator.AddUser(tenant, "shop")
	keyed := "acs:ram::" + tenant + ":role/keyed"
	w.emulator.AddRole(stsemulator.Role{ARN: keyed, Trust: []stsemulator.Statement{{RAM: []string{"acs:ram::" + tenant + ":user/shop"}}}})
	w.must(api.Create(w.ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "ram-user"},
		StringData: map[string]string{"accessKeyId": key.ID, "accessKeySecret": key.Secret}}))
	keyless := w.credential("keyless", asServiceAccount("orders"))
	w.pass(keyless) // by which the account is known to be its own

	w.Budget = stsBudget(w, 0.1, 1)
	w.edit(keyless, func(c *v1alpha1.StsCredential) { c.Spec.Duration = &metav1.Duration{Duration: 30 * time.Minute} })
	w.pass(keyless)
	w.wantCondition(keyless, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
	same := w.credential("same-account", withAccessKey("ram-user"), func(c *v1alpha1.StsCredential) { c.Spec.RoleARN = keyed })
	next := w.pass(same).RequeueAfter
	if w.Budget.Waiting() != 1 {
		t.Error("the account's budget is spent, but the other credential does not wait")
	}
	other := w.credential("other-account")
	w.pass(other)
	w.wantCondition(other, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
	w.step(next)
	w.pass(same)
	w.wantCondition(same, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
}

// While the operator's own source of keys fails, it is asked seldom, however many credentials are due, and each
// credential tells of it once.
func TestFailingIdentityIsToldOnce(t *testing.T) {
	w := newWorld(t)
	fetches := 0
	w.Operator = identity.NewOperator(identity.Options{STS: w.client, Clock: w.clock, NewFetch: func() identity.Fetch {
		return func() (credentials.Credentials, error) {
			fetches++
			return credentials.Credentials{}, &identity.UnavailableError{Source: "the node's RAM role", Class: sts.Transient, NextStep: "the metadata service did not answer"}
		}
	}})
	var all []*v1alpha1.StsCredential
	for _, name := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} {
		all = append(all, w.credential(name))
	}
	for range 60 {
		for _, c := range all {
			w.pass(c)
		}
		w.step(time.Second)
	}
	if fetches > 8 {
		t.Errorf("the source was asked %d times in a minute", fetches)
	}
	if told := w.told(); len(told) != len(all) {
		t.Errorf("%d events for %d credentials: %q", len(told), len(all), told[:min(3, len(told))])
	}
	w.wantCalls(0)
}

// Nor does a tenant who names many accounts, or makes up many keys, get more of the workers than one.
func TestInventedAccountsShareOneBound(t *testing.T) {
	w := newWorld(t)
	w.patient()
	w.trustServiceAccounts("orders", provider, tenantRole)
	w.serviceAccount("orders")
	w.Budget.LimitInFlight(2) // one for each of two
	w.emulator.Inject(stsemulator.Fault{Action: "AssumeRoleWithOIDC", Kind: stsemulator.FaultHang})
	w.manage() // four workers
	for _, invented := range []string{"1", "2", "3", "4", "5", "6"} {
		w.credential("slow-"+invented, asServiceAccount("orders"), func(c *v1alpha1.StsCredential) {
			c.Spec.Identity.ServiceAccount.OIDCProviderARN = "acs:ram::" + invented + ":oidc-provider/p"
		})
	}
	w.eventually("the tenant calls", func(context.Context) bool { return w.counted("AssumeRoleWithOIDC") > 0 })
	w.become(w.credential("quick"), v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued)
	if asked := w.counted("AssumeRoleWithOIDC"); asked > 1 {
		t.Errorf("%d of the tenant's calls were made before the other tenant's", asked)
	}
}
