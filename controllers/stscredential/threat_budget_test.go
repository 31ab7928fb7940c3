// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stscredential

import (
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/credentials"
	"github.com/stscredential/sts-credential-operator/internal/identity"
	"github.com/stscredential/sts-credential-operator/internal/ratelimit"
)

// Whoever changes an AccessKey's ID again and again, in several objects, makes a bounded number of calls that ask whose it
// is, and somebody else's key is used meanwhile.
func TestThreatManyAccessKeys(t *testing.T) {
	const changes, objects = 60, 6
	env := newEnvironment(t)
	env.Budget = stsBudget(env, 20, 20)
	user := env.user("edit")
	data := map[string]string{"accessKeySecret": strings.Repeat("x", 30)}
	for i := range changes {
		data[fmt.Sprint("id-", i)] = fmt.Sprintf("LTAI5tMadeUpMadeUp%06d", i)
	}
	env.Must(user.Create(env.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: env.Namespace, Name: "made-up"}, StringData: data}))
	var all []*v1alpha1.StsCredential
	for i := range objects {
		c := env.NewCredential(fmt.Sprint("hostile-", i), withAccessKey("made-up"), func(c *v1alpha1.StsCredential) {
			c.Spec.Identity.AccessKey.AccessKeyIDKey = "id-0"
		})
		env.Must(user.Create(env.Context(), c))
		all = append(all, c)
	}
	for i := range changes {
		c := all[i%objects]
		env.Must(user.Patch(env.Context(), c, merge(fmt.Sprintf(`{"spec":{"identity":{"accessKey":{"accessKeyIDKey":"id-%d"}}}}`, i))))
		env.reconcile(c)
	}
	if n := env.CallsTo("GetCallerIdentity"); n > 5 {
		t.Errorf("STS was asked %d times whose a key is while time stood still, want 5 at most", n)
	}
	for _, c := range all {
		env.wantNotReady(c)
	}
	env.wantOtherNamespaceServed()
}

// wantOtherNamespaceServed requires that the operator's and a RAM user's credentials of another namespace are issued at once.
func (env *environment) wantOtherNamespaceServed() {
	env.Helper()
	hostile := env.Namespace
	env.Namespace += "-other"
	env.Must(api.Create(env.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: env.Namespace}}))
	env.Grant(nil)
	env.addUser("ram-user")
	for _, c := range []*v1alpha1.StsCredential{env.CreateCredential("own", withAccessKey("ram-user")), env.CreateCredential("operators")} {
		env.reconcile(c)
		env.WantCondition(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
	}
	env.Namespace = hostile
}

// Nor do ServiceAccounts that no account accepts make more calls than that, and one that is accepted does not wait for them.
func TestThreatManyServiceAccounts(t *testing.T) {
	env := newEnvironment(t)
	env.Revoke()
	env.trustServiceAccounts("orders", provider, tenantRole)
	env.serviceAccount("orders")
	good := env.CreateCredential("good", asServiceAccount("orders"))
	env.reconcile(good) // it is accepted
	env.WantCondition(good, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
	env.Budget = stsBudget(env, 20, 20)
	before := env.CallsTo("AssumeRoleWithOIDC")
	for i := range 30 {
		name := fmt.Sprint("made-up-", i)
		env.serviceAccount(name)
		c := env.CreateCredential(name, asServiceAccount(name))
		env.reconcile(c)
		env.wantNotReady(c)
	}
	if n := env.CallsTo("AssumeRoleWithOIDC") - before; n > 5 {
		t.Errorf("%d calls that no account accepts were made while time stood still, want 5 at most", n)
	}
	env.Edit(good, func(c *v1alpha1.StsCredential) { c.Spec.Duration = &metav1.Duration{Duration: 30 * time.Minute} })
	env.reconcile(good)
	env.WantCondition(good, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
	if n := env.CallsTo("AssumeRoleWithOIDC") - before; n > 6 || good.Status.ObservedGeneration != good.Generation {
		t.Errorf("%d calls, generation %d of %d", n, good.Status.ObservedGeneration, good.Generation)
	}
}

// Who waits to be identified waits for its turn, as for any call, and nothing fails.
func TestAnAccessKeyWaitsToBeIdentified(t *testing.T) {
	env := newEnvironment(t)
	env.Revoke()
	env.addUser("ram-user")
	env.Budget = stsBudget(env, 1, 1)
	for env.Budget.Acquire(ratelimit.Unaccepted("elsewhere"), ratelimit.Claim{NamespacedName: client.ObjectKey{Namespace: "elsewhere", Name: "x"}}) == 0 {
	}
	env.Budget.Cancel(client.ObjectKey{Namespace: "elsewhere", Name: "x"})
	c := env.CreateCredential("orders", withAccessKey("ram-user"))
	next := env.reconcile(c).RequeueAfter
	if next <= 0 || next > 2*time.Second || env.Budget.Waiting() != 1 || len(env.Emulator.Calls()) != 0 {
		t.Errorf("next in %v, %d wait, %d calls", next, env.Budget.Waiting(), len(env.Emulator.Calls()))
	}
	env.WantCondition(c, v1alpha1.ConditionStalled, "", "", "")
	if recorded := env.RecordedEvents(); len(recorded) > 0 {
		t.Errorf("events: %q", recorded)
	}
	env.Step(next)
	env.reconcile(c)
	env.WantCondition(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
	if n := env.Budget.Waiting(); n != 0 {
		t.Errorf("%d wait still", n)
	}
}

// The operator's own GetCallerIdentity counts against the budget of its account.
func TestTheOperatorsIdentityCountsInItsBudget(t *testing.T) {
	env := newEnvironment(t)
	env.Budget = stsBudget(env, 1, 2)
	key := env.OperatorKey
	env.Operator = identity.NewOperator(identity.Options{
		STS: env.stsClient, Clock: env.OperatorClock, Spend: func(account string) { env.Budget.Spend(account) },
		NewFetch: func() identity.Fetch {
			return func() (credentials.Credentials, error) {
				return credentials.Credentials{AccessKeyID: key.ID, AccessKeySecret: key.Secret}, nil
			}
		},
	})
	env.Must(env.Operator.Identify(env.Context()))
	watch := env.clockMonitor(nil, nil, nil)
	if !watch.synced(env.Context()) {
		t.Fatal("STS did not answer")
	}
	c := env.CreateCredential("orders")
	if next := env.reconcile(c).RequeueAfter; next <= 0 || env.Calls() != 0 || env.Budget.Waiting() != 1 {
		t.Errorf("a call is made though the two of a second were spent: next in %v, %d calls", next, env.Calls())
	}
}
