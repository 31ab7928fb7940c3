// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stscredential

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/metrics"
	"github.com/stscredential/sts-credential-operator/test/stsemulator"
)

// ofOrders are the gauges of the credential "orders".
func ofOrders(ready, expires, renews float64) map[string]float64 {
	const labels = `{name="orders",namespace="shop"}`
	return map[string]float64{
		"ready" + labels: ready, "expiration_timestamp_seconds" + labels: expires, "renewal_timestamp_seconds" + labels: renews,
	}
}

func seconds(t *metav1.Time) float64 { return float64(t.Unix()) }

func TestMetricsFollowACredential(t *testing.T) {
	env := newEnvironment(t)
	c := env.CreateCredential("orders")
	env.WaitForCache(c)
	env.wantMetrics("nothing was issued yet", ofOrders(0, -1, -1))
	env.reconcile(c)
	env.WaitForCache(c)
	env.wantMetrics("issued", ofOrders(1, seconds(c.Status.ExpiresAt), seconds(c.Status.RenewAt)))
	env.wantMetrics("issued", map[string]float64{`renewals_total{result="Issued"}`: 1, `sts_requests_total{action="AssumeRole",code="OK"}`: 1, `sts_requests_total{action="GetCallerIdentity",code="OK"}`: 1})

	env.Emulator.Inject(stsemulator.Fault{Action: "AssumeRole", Kind: stsemulator.FaultError, Code: "NoPermission"})
	env.Step(45 * time.Minute)
	env.reconcile(c)
	env.reconcile(c) // too soon for another attempt
	refused := map[string]float64{`renewals_total{result="Issued"}`: 1, `renewals_total{result="RoleRefused"}`: 1, `sts_requests_total{action="AssumeRole",code="NoPermission"}`: 1}
	env.WaitForCache(c)
	env.wantMetrics("a renewal fails early", ofOrders(1, seconds(c.Status.ExpiresAt), seconds(c.Status.RenewAt)))
	env.wantMetrics("a renewal fails early", refused)
	env.Step(15 * time.Minute)
	env.wantMetrics("expired, though not reconciled yet", ofOrders(0, seconds(c.Status.ExpiresAt), seconds(c.Status.RenewAt)))

	env.Emulator.Clear()
	env.reconcile(c)
	env.Edit(c, func(c *v1alpha1.StsCredential) { c.Spec.Suspend = true })
	env.WaitForCache(c)
	env.wantMetrics("suspended", ofOrders(1, seconds(c.Status.ExpiresAt), -1))
	env.Step(time.Hour)
	env.wantMetrics("expired while suspended", ofOrders(-1, seconds(c.Status.ExpiresAt), -1))
	env.Must(api.Delete(env.Context(), c))
	env.WaitForCache(c)
	env.wantMetrics("deleted", ofOrders(-1, -1, -1))
	env.wantMetrics("deleted", map[string]float64{`renewals_total{result="Issued"}`: 2})
}

// Each way in which an attempt ends is counted once, under the reason that the object reports.
func TestAttemptsAreCounted(t *testing.T) {
	failing := func(code string) func(*environment) {
		return func(env *environment) {
			env.Emulator.Inject(stsemulator.Fault{Action: "AssumeRole", Kind: stsemulator.FaultError, Code: code})
		}
	}
	for _, tt := range []struct {
		result string
		given  func(*environment)
	}{
		{v1alpha1.ReasonIssued, func(*environment) {}},
		{v1alpha1.ReasonRoleNotGranted, (*environment).Revoke},
		{v1alpha1.ReasonInvalidSpec, failing("InvalidParameter.PolicySize")},
		{v1alpha1.ReasonRoleRefused, failing("EntityNotExist.Role")},
		{v1alpha1.ReasonIdentityUnavailable, failing("InvalidAccessKeyId.NotFound")},
		{v1alpha1.ReasonThrottled, failing("Throttling.User")},
		{v1alpha1.ReasonSTSUnavailable, failing("ServiceUnavailable")},
		{v1alpha1.ReasonSecretConflict, func(env *environment) {
			env.Must(api.Create(env.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: env.Namespace, Name: "orders"}}))
		}},
		{v1alpha1.ReasonSecretWriteFailed, func(env *environment) { writeFaults[0].cause(env) }},
	} {
		t.Run(tt.result, func(t *testing.T) {
			env := newEnvironment(t)
			tt.given(env)
			env.reconcile(env.CreateCredential("orders"))
			for _, result := range metrics.RenewalResults() {
				want := 0.0
				if result == tt.result {
					want = 1
				}
				env.wantMetrics("an attempt", map[string]float64{`renewals_total{result="` + result + `"}`: want})
			}
		})
	}
}

// A reason of Ready that is added to the API is either counted or says nothing of an attempt.
func TestEachReasonOfAFailureIsCounted(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join("..", "..", "api", "v1alpha1", "conditions.go"), nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	ofNoAttempt, found := []string{v1alpha1.ReasonSuspended, v1alpha1.ReasonExpired, v1alpha1.ReasonIssuing}, 0
	for _, declared := range file.Decls {
		group, ok := declared.(*ast.GenDecl)
		if !ok || !strings.HasPrefix(group.Doc.Text(), "Reasons of the condition Ready") {
			continue
		}
		for _, spec := range group.Specs {
			reason, err := strconv.Unquote(spec.(*ast.ValueSpec).Values[0].(*ast.BasicLit).Value)
			if found++; err != nil || slices.Contains(metrics.RenewalResults(), reason) == slices.Contains(ofNoAttempt, reason) {
				t.Errorf("%s: is it what an attempt ends with? %v", reason, err)
			}
		}
	}
	if found != len(metrics.RenewalResults())+len(ofNoAttempt) {
		t.Errorf("found %d reasons", found)
	}
}

func TestWaitsForTheBudgetAreMeasured(t *testing.T) {
	env := newEnvironment(t)
	env.Budget = stsBudget(env, 0.5, 1)
	first, second := env.CreateCredential("first"), env.CreateCredential("second")
	env.reconcile(first)
	env.Step(0)
	env.reconcile(second)
	env.wantMetrics("one waits", map[string]float64{"budget_wait_seconds_count": 1, "budget_wait_seconds_sum": 0, `renewals_total{result="Issued"}`: 1, "budget_limit_calls_per_second": 0.5, "budget_waiting_calls": 1})
	env.Step(2 * time.Second)
	env.reconcile(second)
	env.wantMetrics("it had its turn", map[string]float64{"budget_wait_seconds_count": 2, "budget_wait_seconds_sum": 2, `budget_wait_seconds_bucket{le="0.1"}`: 1, `renewals_total{result="Issued"}`: 2, "budget_waiting_calls": 0})

	env.Emulator.Inject(stsemulator.Fault{Action: "AssumeRole", Kind: stsemulator.FaultError, Code: "Throttling"})
	env.Step(45 * time.Minute)
	env.reconcile(first)
	env.wantMetrics("throttled", map[string]float64{"budget_limit_calls_per_second": 0.25})
}

// What renewals come to, of those that the operator itself asks for, shows how much of the budget is left.
func TestTheDemandIsTold(t *testing.T) {
	env := newEnvironment(t)
	env.wantMetrics("nobody", map[string]float64{"budget_demand_calls_per_second": 0})
	want := 0.0
	for _, tt := range []struct {
		name   string
		counts bool
		change func(*v1alpha1.StsCredential)
	}{
		{"orders", true, func(*v1alpha1.StsCredential) {}},
		{"reports", true, func(*v1alpha1.StsCredential) {}},
		{"asleep", false, func(c *v1alpha1.StsCredential) { c.Spec.Suspend = true }},
		{"others", false, withAccessKey("ram-user")},
	} {
		c := env.CreateCredential(tt.name)
		env.reconcile(c)
		if tt.counts {
			want += 1 / c.Status.RenewAt.Sub(c.Status.IssuedAt.Time).Seconds()
		}
		env.Edit(c, tt.change)
		env.WaitForCache(c)
	}
	env.WaitForCache(env.CreateCredential("not-issued"))
	if got := env.samples(true)["stscredential_budget_demand_calls_per_second"]; got < want*0.999 || got > want*1.001 || want < 2.0/2400 {
		t.Errorf("renewals come to %v calls per second, want %v", got, want)
	}
}

// A replica that does not lead says nothing of the objects, and what it does itself.
func TestStandbyTellsOfItselfOnly(t *testing.T) {
	env := newEnvironment(t)
	env.OperatorClock.Step(90 * time.Second)
	env.wantMetrics("STS was not asked yet", map[string]float64{"clock_skew_seconds": 0})
	c := env.CreateCredential("orders")
	env.reconcile(c)
	env.WaitForCache(c)
	standby := env.samples(false)
	if skew := standby["stscredential_clock_skew_seconds"]; skew != 90 {
		t.Errorf("the local clock is %v s ahead, want 90", skew)
	}
	leaders := []string{
		"stscredential_budget_limit_calls_per_second", "stscredential_budget_demand_calls_per_second", "stscredential_budget_waiting_calls",
		"stscredential_expired_seconds_total",
	}
	for name := range env.samples(true) {
		if _, reported := standby[name]; reported == (strings.Contains(name, `namespace="`) || slices.Contains(leaders, name)) {
			t.Errorf("%s: reported by the standby: %v", name, reported)
		}
	}
}
