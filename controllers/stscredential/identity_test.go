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
func (env *environment) trustServiceAccounts(name, provider, role string) {
	env.Helper()
	env.ServiceAccounts = identity.NewServiceAccounts(identity.ServiceAccountsOptions{Client: api, STS: env.stsClient, ProviderARN: provider})
	published, err := kubernetes.NewForConfigOrDie(cluster.Config).RESTClient().Get().AbsPath("/openid/v1/jwks").DoRaw(env.Context())
	env.Must(err)
	keys, err := stsemulator.ParseJWKS(published)
	env.Must(err)
	env.Emulator.AddOIDCProvider(stsemulator.OIDCProvider{ARN: provider, Issuer: issuer, ClientIDs: []string{"sts.aliyuncs.com"}, JWKS: keys})
	env.Emulator.AddRole(stsemulator.Role{ARN: role, Trust: []stsemulator.Statement{{
		Federated: []string{provider},
		StringEquals: map[string][]string{
			"oidc:iss": {issuer}, "oidc:aud": {"sts.aliyuncs.com"}, "oidc:sub": {"system:serviceaccount:" + env.Namespace + ":" + name},
		},
	}}})
}

func (env *environment) serviceAccount(name string) {
	env.Helper()
	env.Must(client.IgnoreAlreadyExists(api.Create(env.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: env.Namespace, Name: name}})))
}

func asServiceAccount(name string) func(*v1alpha1.StsCredential) {
	return func(c *v1alpha1.StsCredential) {
		c.Spec.RoleARN = tenantRole
		c.Spec.Identity = &v1alpha1.IdentitySpec{ServiceAccount: &v1alpha1.ServiceAccountIdentity{Name: name}}
	}
}

// A ServiceAccount asks with a token that the real API server minted, without a key and without a grant.
func TestServiceAccountIdentity(t *testing.T) {
	env := newEnvironment(t)
	env.Revoke()
	env.trustServiceAccounts("orders", provider, tenantRole)
	env.serviceAccount("orders")
	env.serviceAccount("other")
	c := env.CreateCredential("orders", asServiceAccount("orders"))
	env.reconcile(c)
	env.WantCondition(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, tenantRole)
	env.wantWorking("orders")
	env.WantCalls(0)
	calls := env.Emulator.Calls()
	if got := calls[0]; got.Action != "AssumeRoleWithOIDC" || got.OIDCTokenIn != "body" || got.SessionName != env.Namespace+".orders" {
		t.Errorf("STS was asked %+v", got)
	}
	if c.Status.GrantName != "" {
		t.Errorf("grantName = %s: no grant is needed", c.Status.GrantName)
	}
	env.reconcile(c)
	env.Step(45 * time.Minute)
	env.reconcile(c)
	if got := env.CallsTo("AssumeRoleWithOIDC"); got != 2 {
		t.Errorf("%d calls after a renewal, want 2", got)
	}

	refused := env.CreateCredential("refused", asServiceAccount("other"))
	env.reconcile(refused)
	env.WantCondition(refused, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonRoleRefused, "system:serviceaccount:"+env.Namespace+":other")
	missing := env.CreateCredential("missing", asServiceAccount("nobody"))
	env.reconcile(missing)
	env.WantCondition(missing, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonIdentityUnavailable, "nobody")
	env.wantNoLeak(c)

	env.ServiceAccounts = nil
	off := env.CreateCredential("off", asServiceAccount("orders"))
	env.reconcile(off)
	env.WantCondition(off, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonIdentityUnavailable, "--service-account-identity")
	env.WantCondition(off, v1alpha1.ConditionStalled, metav1.ConditionTrue, v1alpha1.ReasonIdentityUnavailable, "")
}

// addUser makes a RAM user of the tenant's account, which its role trusts, and a Secret with its AccessKey.
func (env *environment) addUser(secretName string) stsemulator.AccessKey {
	env.Helper()
	key := env.Emulator.AddUser(tenant, "shop")
	env.Emulator.AddRole(stsemulator.Role{ARN: tenantRole, Trust: []stsemulator.Statement{{RAM: []string{"acs:ram::" + tenant + ":user/shop"}}}})
	env.Must(api.Create(env.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: env.Namespace, Name: secretName},
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
	env := newEnvironment(t)
	env.Revoke()
	c := env.CreateCredential("orders", withAccessKey("ram-user"))
	env.reconcile(c)
	env.WantCalls(0)
	env.WantCondition(c, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonIdentityUnavailable, "ram-user")
	key := env.addUser("ram-user")
	env.Step(time.Minute)
	env.reconcile(c)
	env.WantCondition(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, tenantRole)
	env.wantWorking("orders")
	if !strings.Contains(env.log.String(), "acs:ram::"+tenant+":user/shop") {
		t.Errorf("the audit line does not name the caller: %s", env.log)
	}

	// Its key is replaced: the old one is refused, the Secret is read anew at the next renewal.
	next := env.Emulator.AddUser(tenant, "shop")
	env.Emulator.DeleteKey(key.ID)
	env.EditSecret("ram-user", func(s *corev1.Secret) {
		s.Data["accessKeyId"], s.Data["accessKeySecret"] = []byte(next.ID), []byte(next.Secret)
	})
	env.Step(45 * time.Minute)
	env.reconcile(c)
	env.WantCondition(c, v1alpha1.ConditionRenewalFailing, "", "", "")
	calls := env.Emulator.Calls()
	if got := calls[len(calls)-1]; got.AccessKeyID != next.ID || got.Code != "" {
		t.Errorf("the last call was %+v, want one with the new key", got)
	}

	env.Emulator.SetKeyActive(next.ID, false)
	env.Step(45 * time.Minute)
	env.reconcile(c)
	env.WantCondition(c, v1alpha1.ConditionRenewalFailing, metav1.ConditionTrue, v1alpha1.ReasonIdentityUnavailable, "")
	env.wantNoLeak(c)
	for _, damaged := range []string{"accessKeyId", "accessKeySecret"} {
		var whole []byte
		env.EditSecret("ram-user", func(s *corev1.Secret) { whole = s.Data[damaged]; delete(s.Data, damaged) })
		bad := env.CreateCredential("without-"+strings.ToLower(damaged), withAccessKey("ram-user"))
		env.reconcile(bad)
		env.WantCondition(bad, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonIdentityUnavailable, damaged)
		env.EditSecret("ram-user", func(s *corev1.Secret) { s.Data[damaged] = whole })
	}
}

// callsWith counts the calls that were made with an AccessKey.
func (env *environment) callsWith(accessKeyID string) (n int) {
	for _, c := range env.Emulator.Calls() {
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
			env := newEnvironment(t)
			env.raiseTimeout()
			key := env.addUser("ram-user")
			env.Budget.LimitInFlight(2) // one for each of two
			env.Emulator.Inject(tt.fault(key))
			env.startManager() // four workers
			var slow []*v1alpha1.StsCredential
			for _, name := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} {
				slow = append(slow, env.CreateCredential(name, withAccessKey("ram-user")))
			}
			env.Eventually("the tenant calls", func(context.Context) bool { return env.callsWith(key.ID) > 0 })
			env.waitForCondition(env.CreateCredential("quick"), v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued)
			// Had all eight of the tenant been let through, they would have held all four workers before the quick one.
			if asked := env.callsWith(key.ID); asked > tt.atMost {
				t.Errorf("%d of the tenant's calls were made before the other tenant's", asked)
			}
			for _, c := range slow {
				env.Must(api.Get(env.Context(), client.ObjectKeyFromObject(c), c))
				env.wantNotReady(c)
			}
		})
	}
}

// Whoever of an account asks, its calls share one budget; other accounts have their own.
func TestBudgetIsTheAccounts(t *testing.T) {
	env := newEnvironment(t)
	env.trustServiceAccounts("orders", provider, tenantRole)
	env.serviceAccount("orders")
	key := env.Emulator.AddUser(tenant, "shop")
	keyed := "acs:ram::" + tenant + ":role/keyed"
	env.Emulator.AddRole(stsemulator.Role{ARN: keyed, Trust: []stsemulator.Statement{{RAM: []string{"acs:ram::" + tenant + ":user/shop"}}}})
	env.Must(api.Create(env.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: env.Namespace, Name: "ram-user"},
		StringData: map[string]string{"accessKeyId": key.ID, "accessKeySecret": key.Secret}}))
	keyless := env.CreateCredential("keyless", asServiceAccount("orders"))
	env.reconcile(keyless) // by which the account is known to be its own

	env.Budget = stsBudget(env, 0.1, 1)
	env.Edit(keyless, func(c *v1alpha1.StsCredential) { c.Spec.Duration = &metav1.Duration{Duration: 30 * time.Minute} })
	env.reconcile(keyless)
	env.WantCondition(keyless, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
	same := env.CreateCredential("same-account", withAccessKey("ram-user"), func(c *v1alpha1.StsCredential) { c.Spec.RoleARN = keyed })
	next := env.reconcile(same).RequeueAfter
	if env.Budget.Waiting() != 1 {
		t.Error("the account's budget is spent, but the other credential does not wait")
	}
	other := env.CreateCredential("other-account")
	env.reconcile(other)
	env.WantCondition(other, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
	env.Step(next)
	env.reconcile(same)
	env.WantCondition(same, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
}

// While the operator's own source of keys fails, it is asked seldom, however many credentials are due, and each
// credential reports it once.
func TestFailingIdentityIsToldOnce(t *testing.T) {
	env := newEnvironment(t)
	fetches := 0
	env.Operator = identity.NewOperator(identity.Options{STS: env.stsClient, Clock: env.OperatorClock, NewFetch: func() identity.Fetch {
		return func() (credentials.Credentials, error) {
			fetches++
			return credentials.Credentials{}, &identity.UnavailableError{Source: "the node's RAM role", Class: sts.Transient, NextStep: "the metadata service did not answer"}
		}
	}})
	var all []*v1alpha1.StsCredential
	for _, name := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} {
		all = append(all, env.CreateCredential(name))
	}
	for range 60 {
		for _, c := range all {
			env.reconcile(c)
		}
		env.Step(time.Second)
	}
	if fetches > 8 {
		t.Errorf("the source was asked %d times in a minute", fetches)
	}
	if recorded := env.RecordedEvents(); len(recorded) != len(all) {
		t.Errorf("%d events for %d credentials: %q", len(recorded), len(all), recorded[:min(3, len(recorded))])
	}
	env.WantCalls(0)
}

// Nor does a tenant who names many accounts, or makes up many keys, get more of the workers than one.
func TestInventedAccountsShareOneBound(t *testing.T) {
	env := newEnvironment(t)
	env.raiseTimeout()
	env.trustServiceAccounts("orders", provider, tenantRole)
	env.serviceAccount("orders")
	env.Budget.LimitInFlight(2) // one for each of two
	env.Emulator.Inject(stsemulator.Fault{Action: "AssumeRoleWithOIDC", Kind: stsemulator.FaultHang})
	env.startManager() // four workers
	for _, invented := range []string{"1", "2", "3", "4", "5", "6"} {
		env.CreateCredential("slow-"+invented, asServiceAccount("orders"), func(c *v1alpha1.StsCredential) {
			c.Spec.Identity.ServiceAccount.OIDCProviderARN = "acs:ram::" + invented + ":oidc-provider/p"
		})
	}
	env.Eventually("the tenant calls", func(context.Context) bool { return env.CallsTo("AssumeRoleWithOIDC") > 0 })
	env.waitForCondition(env.CreateCredential("quick"), v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued)
	if asked := env.CallsTo("AssumeRoleWithOIDC"); asked > 1 {
		t.Errorf("%d of the tenant's calls were made before the other tenant's", asked)
	}
}
