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
	"github.com/stscredential/sts-credential-operator/test/stsemulator"
)

// ofOrders are the gauges of the credential "orders".
func ofOrders(ready, expires, renews float64) map[string]float64 {
	const labels = `{name="orders",namespace="shop"}`
	return map[string]float64{
		"ready" + labels: ready, "expiration_timestamp_seconds" + labels: expires, "renewal_timestamp_seconds" + labels: renews,
	}
}

func unix(t *metav1.Time) float64 { return float64(t.Unix()) }

func TestMetricsFollowACredential(t *testing.T) {
	w := newWorld(t)
	c := w.credential("orders")
	w.catchUp(c)
	w.wantMetrics("nothing was issued yet", ofOrders(0, -1, -1))
	w.pass(c)
	w.catchUp(c)
	w.wantMetrics("issued", ofOrders(1, unix(c.Status.ExpiresAt), unix(c.Status.RenewAt)))
	w.wantMetrics("issued", map[string]float64{`renewals_total{result="Issued"}`: 1, `sts_requests_total{action="AssumeRole",code="OK"}`: 1, `sts_requests_total{action="GetCallerIdentity",code="OK"}`: 1})

	w.emulator.Inject(stsemulator.Fault{Action: "AssumeRole", Kind: stsemulator.FaultError, Code: "NoPermission"})
	w.step(45 * time.Minute)
	w.pass(c)
	w.pass(c) // too soon for another attempt
	refused := map[string]float64{`renewals_total{result="Issued"}`: 1, `renewals_total{result="RoleRefused"}`: 1, `sts_requests_total{action="AssumeRole",code="NoPermission"}`: 1}
	w.catchUp(c)
	w.wantMetrics("a renewal fails early", ofOrders(1, unix(c.Status.ExpiresAt), unix(c.Status.RenewAt)))
	w.wantMetrics("a renewal fails early", refused)
	w.step(15 * time.Minute)
	w.wantMetrics("expired, though nobody looked yet", ofOrders(0, unix(c.Status.ExpiresAt), unix(c.Status.RenewAt)))

	w.emulator.Clear()
	w.pass(c)
	w.edit(c, func(c *v1alpha1.StsCredential) { c.Spec.Suspend = true })
	w.catchUp(c)
	w.wantMetrics("suspended", ofOrders(1, unix(c.Status.ExpiresAt), -1))
	w.step(time.Hour)
	w.wantMetrics("expired while suspended", ofOrders(-1, unix(c.Status.ExpiresAt), -1))
	w.must(api.Delete(w.ctx, c))
	w.catchUp(c)
	w.wantMetrics("deleted", ofOrders(-1, -1, -1))
	w.wantMetrics("deleted", map[string]float64{`renewals_total{result="Issued"}`: 2})
}

// Each way in which an attempt ends is counted once, under the reason that the object tells.
func TestAttemptsAreCounted(t *testing.T) {
	failing := func(code string) func(*world) {
		return func(w *world) {
			w.emulator.Inject(stsemulator.Fault{Action: "AssumeRole", Kind: stsemulator.FaultError, Code: code})
		}
	}
	for _, tt := range []struct {
		result string
		given  func(*world)
	}{
		{v1alpha1.ReasonIssued, func(*world) {}},
		{v1alpha1.ReasonRoleNotGranted, (*world).revoke},
		{v1alpha1.ReasonInvalidSpec, failing("InvalidParameter.PolicySize")},
		{v1alpha1.ReasonRoleRefused, failing("EntityNotExist.Role")},
		{v1alpha1.ReasonIdentityUnavailable, failing("InvalidAccessKeyId.NotFound")},
		{v1alpha1.ReasonThrottled, failing("Throttling.User")},
		{v1alpha1.ReasonSTSUnavailable, failing("ServiceUnavailable")},
		{v1alpha1.ReasonSecretConflict, func(w *world) {
			w.must(api.Create(w.ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "orders"}}))
		}},
		{v1alpha1.ReasonSecretWriteFailed, func(w *world) { obstacles[0].raise(w) }},
	} {
		t.Run(tt.result, func(t *testing.T) {
			w := newWorld(t)
			tt.given(w)
			w.pass(w.credential("orders"))
			for _, result := range renewalResults {
				want := 0.0
				if result == tt.result {
					want = 1
				}
				w.wantMetrics("an attempt", map[string]float64{`renewals_total{result="` + result + `"}`: want})
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
			if found++; err != nil || slices.Contains(renewalResults, reason) == slices.Contains(ofNoAttempt, reason) {
				t.Errorf("%s: is it what an attempt ends with? %v", reason, err)
			}
		}
	}
	if found != len(renewalResults)+len(ofNoAttempt) {
		t.Errorf("found %d reasons", found)
	}
}

func TestWaitsForTheBudgetAreMeasured(t *testing.T) {
	w := newWorld(t)
	w.Budget = stsBudget(w, 0.5, 1)
	first, second := w.credential("first"), w.credential("second")
	w.pass(first)
	w.step(0)
	w.pass(second)
	w.wantMetrics("one waits", map[string]float64{"budget_wait_seconds_count": 1, "budget_wait_seconds_sum": 0, `renewals_total{result="Issued"}`: 1, "budget_limit_calls_per_second": 0.5, "budget_waiting_calls": 1})
	w.step(2 * time.Second)
	w.pass(second)
	w.wantMetrics("it had its turn", map[string]float64{"budget_wait_seconds_count": 2, "budget_wait_seconds_sum": 2, `budget_wait_seconds_bucket{le="0.1"}`: 1, `renewals_total{result="Issued"}`: 2, "budget_waiting_calls": 0})

	w.emulator.Inject(stsemulator.Fault{Action: "AssumeRole", Kind: stsemulator.FaultError, Code: "Throttling"})
	w.step(45 * time.Minute)
	w.pass(first)
	w.wantMetrics("throttled", map[string]float64{"budget_limit_calls_per_second": 0.25})
}

// What renewals come to, of those that the operator itself asks for, tells how much of the budget is left.
func TestTheDemandIsTold(t *testing.T) {
	w := newWorld(t)
	w.wantMetrics("nobody", map[string]float64{"budget_demand_calls_per_second": 0})
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
		c := w.credential(tt.name)
		w.pass(c)
		if tt.counts {
			want += 1 / c.Status.RenewAt.Sub(c.Status.IssuedAt.Time).Seconds()
		}
		w.edit(c, tt.change)
		w.catchUp(c)
	}
	w.catchUp(w.credential("not-issued"))
	if got := w.values(true)["stscredential_budget_demand_calls_per_second"]; got < want*0.999 || got > want*1.001 || want < 2.0/2400 {
		t.Errorf("renewals come to %v calls per second, want %v", got, want)
	}
}

// A replica that does not lead says nothing of the objects, and what it does itself.
func TestStandbyTellsOfItselfOnly(t *testing.T) {
	w := newWorld(t)
	w.clock.Step(90 * time.Second)
	w.wantMetrics("STS was not asked yet", map[string]float64{"clock_skew_seconds": 0})
	c := w.credential("orders")
	w.pass(c)
	w.catchUp(c)
	standby := w.values(false)
	if skew := standby["stscredential_clock_skew_seconds"]; skew != 90 {
		t.Errorf("the local clock is %v s ahead, want 90", skew)
	}
	leaders := []string{
		"stscredential_budget_limit_calls_per_second", "stscredential_budget_demand_calls_per_second", "stscredential_budget_waiting_calls",
		"stscredential_expired_seconds_total",
	}
	for name := range w.values(true) {
		if _, told := standby[name]; told == (strings.Contains(name, `namespace="`) || slices.Contains(leaders, name)) {
			t.Errorf("%s: told by the standby: %v", name, told)
		}
	}
}
