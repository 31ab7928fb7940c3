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
	w := newWorld(t)
	w.Budget = stsBudget(w, 20, 20)
	user := w.user("edit")
	data := map[string]string{"accessKeySecret": strings.Repeat("x", 30)}
	for i := range changes {
		data[fmt.Sprint("id-", i)] = fmt.Sprintf("LTAI5tMadeUpMadeUp%06d", i)
	}
	w.must(user.Create(w.ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "made-up"}, StringData: data}))
	var all []*v1alpha1.StsCredential
	for i := range objects {
		c := w.asks(fmt.Sprint("hostile-", i), withAccessKey("made-up"), func(c *v1alpha1.StsCredential) {
			c.Spec.Identity.AccessKey.AccessKeyIDKey = "id-0"
		})
		w.must(user.Create(w.ctx, c))
		all = append(all, c)
	}
	for i := range changes {
		c := all[i%objects]
		w.must(user.Patch(w.ctx, c, merge(fmt.Sprintf(`{"spec":{"identity":{"accessKey":{"accessKeyIDKey":"id-%d"}}}}`, i))))
		w.pass(c)
	}
	if n := w.counted("GetCallerIdentity"); n > 5 {
		t.Errorf("STS was asked %d times whose a key is while time stood still, want 5 at most", n)
	}
	for _, c := range all {
		w.wantNotReady(c)
	}
	w.anotherNamespaceIsServed()
}

// anotherNamespaceIsServed insists that the operator's and a RAM user's credentials of another namespace are issued at once.
func (w *world) anotherNamespaceIsServed() {
	w.Helper()
	hostile := w.namespace
	w.namespace += "-other"
	w.must(api.Create(w.ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: w.namespace}}))
	w.grant(nil)
	w.tenantUser("ram-user")
	for _, c := range []*v1alpha1.StsCredential{w.credential("own", withAccessKey("ram-user")), w.credential("operators")} {
		w.pass(c)
		w.wantCondition(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
	}
	w.namespace = hostile
}

// Nor do ServiceAccounts that no account accepts make more calls than that, and one that is accepted does not wait for them.
func TestThreatManyServiceAccounts(t *testing.T) {
	w := newWorld(t)
	w.revoke()
	w.trustServiceAccounts("orders", provider, tenantRole)
	w.serviceAccount("orders")
	good := w.credential("good", asServiceAccount("orders"))
	w.pass(good) // it is accepted
	w.wantCondition(good, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
	w.Budget = stsBudget(w, 20, 20)
	before := w.counted("AssumeRoleWithOIDC")
	for i := range 30 {
		name := fmt.Sprint("made-up-", i)
		w.serviceAccount(name)
		c := w.credential(name, asServiceAccount(name))
		w.pass(c)
		w.wantNotReady(c)
	}
	if n := w.counted("AssumeRoleWithOIDC") - before; n > 5 {
		t.Errorf("%d calls that no account accepts were made while time stood still, want 5 at most", n)
	}
	w.edit(good, func(c *v1alpha1.StsCredential) { c.Spec.Duration = &metav1.Duration{Duration: 30 * time.Minute} })
	w.pass(good)
	w.wantCondition(good, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
	if n := w.counted("AssumeRoleWithOIDC") - before; n > 6 || good.Status.ObservedGeneration != good.Generation {
		t.Errorf("%d calls, generation %d of %d", n, good.Status.ObservedGeneration, good.Generation)
	}
}

// Who waits to be identified waits for its turn, as for any call, and nothing fails.
func TestAnAccessKeyWaitsToBeIdentified(t *testing.T) {
	w := newWorld(t)
	w.revoke()
	w.tenantUser("ram-user")
	w.Budget = stsBudget(w, 1, 1)
	for w.Budget.Acquire(ratelimit.Unaccepted("elsewhere"), ratelimit.Claim{NamespacedName: client.ObjectKey{Namespace: "elsewhere", Name: "x"}}) == 0 {
	}
	w.Budget.Cancel(client.ObjectKey{Namespace: "elsewhere", Name: "x"})
	c := w.credential("orders", withAccessKey("ram-user"))
	next := w.pass(c).RequeueAfter
	if next <= 0 || next > 2*time.Second || w.Budget.Waiting() != 1 || len(w.emulator.Calls()) != 0 {
		t.Errorf("next in %v, %d wait, %d calls", next, w.Budget.Waiting(), len(w.emulator.Calls()))
	}
	w.wantCondition(c, v1alpha1.ConditionStalled, "", "", "")
	if told := w.told(); len(told) > 0 {
		t.Errorf("events: %q", told)
	}
	w.step(next)
	w.pass(c)
	w.wantCondition(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
	if n := w.Budget.Waiting(); n != 0 {
		t.Errorf("%d wait still", n)
	}
}

// The operator's own GetCallerIdentity counts against the budget of its account.
func TestTheOperatorsIdentityCountsInItsBudget(t *testing.T) {
	w := newWorld(t)
	w.Budget = stsBudget(w, 1, 2)
	key := w.key
	w.Operator = identity.NewOperator(identity.Options{
		STS: w.client, Clock: w.clock, Spend: func(account string) { w.Budget.Spend(account) },
		NewFetch: func() identity.Fetch {
			return func() (credentials.Credentials, error) {
				return credentials.Credentials{AccessKeyID: key.ID, AccessKeySecret: key.Secret}, nil
			}
		},
	})
	w.must(w.Operator.Identify(w.ctx))
	watch := &clockWatch{Reconciler: w.Reconciler}
	if !watch.asked(w.ctx) {
		t.Fatal("STS did not answer")
	}
	c := w.credential("orders")
	if next := w.pass(c).RequeueAfter; next <= 0 || w.calls() != 0 || w.Budget.Waiting() != 1 {
		t.Errorf("a call is made though the two of a second were spent: next in %v, %d calls", next, w.calls())
	}
}
