// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/client_golang/prometheus/testutil"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/secret"
	"github.com/stscredential/sts-credential-operator/internal/sts"
	"github.com/stscredential/sts-credential-operator/internal/stsemulator"
)

var update = flag.Bool("update", false, "write the golden files anew")

// registry has the metrics of the world's operator, limited to the world's namespace.
func (w *world) registry(elected bool) *prometheus.Registry {
	w.Helper()
	leading := make(chan struct{})
	if elected {
		close(leading)
	}
	told := &Reconciler{Client: client.NewNamespacedClient(cached, w.namespace), STS: w.client, Budget: w.Budget, Operator: w.Operator, Metrics: w.Metrics}
	registry := prometheus.NewPedanticRegistry()
	w.must(told.RegisterMetrics(registry, leading))
	return registry
}

// exposed is what a scrape reads.
func (w *world) exposed(elected bool) string {
	w.Helper()
	answer := httptest.NewRecorder()
	promhttp.HandlerFor(w.registry(elected), promhttp.HandlerOpts{}).ServeHTTP(answer, httptest.NewRequest("GET", "/metrics", nil))
	return strings.ReplaceAll(answer.Body.String(), `namespace="`+w.namespace+`"`, `namespace="shop"`)
}

// values are the samples of a scrape, by name and labels.
func (w *world) values(elected bool) map[string]float64 {
	w.Helper()
	values := map[string]float64{}
	for line := range strings.Lines(w.exposed(elected)) {
		if i := strings.LastIndex(line, " "); !strings.HasPrefix(line, "#") {
			value, err := strconv.ParseFloat(strings.TrimSpace(line[i:]), 64)
			w.must(err)
			values[line[:i]] = value
		}
	}
	return values
}

// wantMetrics insists on samples of the leader's; a negative value means that there is none. The prefix is left out.
func (w *world) wantMetrics(story string, want map[string]float64) {
	w.Helper()
	got := w.values(true)
	for name, value := range want {
		if is, there := got["stscredential_"+name]; there != (value >= 0) || there && is != value {
			w.Errorf("%s: %s is %v (%v), want %v", story, name, is, there, value)
		}
	}
}

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

// A reason that is added to the API is either counted or says nothing of an attempt.
func TestEachReasonOfAFailureIsCounted(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join("..", "api", "v1alpha1", "conditions.go"), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ofNoAttempt, found := []string{v1alpha1.ReasonSuspended, v1alpha1.ReasonExpired, v1alpha1.ReasonIssuing}, 0
	ast.Inspect(file, func(n ast.Node) bool {
		if spec, ok := n.(*ast.ValueSpec); ok && strings.HasPrefix(spec.Names[0].Name, "Reason") {
			reason, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
			if found++; err != nil || slices.Contains(renewalResults, reason) == slices.Contains(ofNoAttempt, reason) {
				t.Errorf("%s: is it what an attempt ends with? %v", reason, err)
			}
		}
		return true
	})
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
	w.wantMetrics("one waits", map[string]float64{"budget_wait_seconds_count": 1, "budget_wait_seconds_sum": 0, `renewals_total{result="Issued"}`: 1, "budget_limit_calls_per_second": 0.5})
	w.step(2 * time.Second)
	w.pass(second)
	w.wantMetrics("it had its turn", map[string]float64{"budget_wait_seconds_count": 2, "budget_wait_seconds_sum": 2, `budget_wait_seconds_bucket{le="0.1"}`: 1, `renewals_total{result="Issued"}`: 2})

	w.emulator.Inject(stsemulator.Fault{Action: "AssumeRole", Kind: stsemulator.FaultError, Code: "Throttling"})
	w.step(45 * time.Minute)
	w.pass(first)
	w.wantMetrics("throttled", map[string]float64{"budget_limit_calls_per_second": 0.25})
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
	leaders := []string{"stscredential_budget_limit_calls_per_second", "stscredential_expired_seconds_total"}
	for name := range w.values(true) {
		if _, told := standby[name]; told == (strings.Contains(name, `namespace="`) || slices.Contains(leaders, name)) {
			t.Errorf("%s: told by the standby: %v", name, told)
		}
	}
}

// The names, types, labels and texts are what dashboards and alerts are built on.
func TestExposition(t *testing.T) {
	w := newWorld(t)
	start := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	w.clock.SetTime(start)
	for name, age := range map[string]time.Duration{"orders": 20 * time.Minute, "forgotten": 2 * time.Hour, "asleep": 0} {
		c := w.credential(name, func(c *v1alpha1.StsCredential) { c.Spec.Suspend = name == "asleep" })
		if name != "asleep" {
			c.Status.ExpiresAt = &metav1.Time{Time: start.Add(time.Hour - age)}
			c.Status.RenewAt = &metav1.Time{Time: start.Add(40*time.Minute - age)}
		}
		c.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonIssued, LastTransitionTime: metav1.Time{Time: start}}}
		w.must(api.Status().Update(w.ctx, c))
		w.catchUp(c)
	}
	w.Metrics.Called(sts.ActionAssumeRole, "OK", 80*time.Millisecond)
	w.Metrics.Waited(3 * time.Second)
	golden := filepath.Join("testdata", "metrics.txt")
	if *update {
		w.must(os.WriteFile(golden, []byte(w.exposed(true)), 0o600))
	}
	want, err := os.ReadFile(golden)
	w.must(err)
	if got := w.exposed(true); got != string(want) {
		t.Errorf("the exposition differs from %s; alerts and dashboards go by it:\n%s", golden, got)
	}
	problems, err := testutil.GatherAndLint(w.registry(true))
	if err != nil || len(problems) > 0 {
		t.Errorf("%v %v", problems, err)
	}
}

// Whatever tenants write and STS answers, no label but namespace and name has a value of theirs, and nothing secret is told.
func TestLabelsAreBounded(t *testing.T) {
	w := newWorld(t)
	for _, code := range []string{"Novelty.1", "Novelty.2", "NoPermission", "Throttling.Tenant", "InvalidParameter.Tenant"} {
		w.emulator.Inject(stsemulator.Fault{Action: "AssumeRole", Kind: stsemulator.FaultError, Code: code, Message: "tenant", Times: 1})
	}
	for i := range 8 {
		c := w.credential("orders-"+strconv.Itoa(i), func(c *v1alpha1.StsCredential) {
			c.Spec.SessionName = w.namespace + ".tenant"
			if i == 7 {
				c.Spec.Policy = &runtime.RawExtension{Raw: []byte(`{"Version":"1","tenant":"tenant"}`)}
			}
		})
		w.step(time.Minute)
		w.pass(c)
		w.catchUp(c)
	}
	allowed := map[string][]string{
		"action": {"AssumeRole", "AssumeRoleWithOIDC", "GetCallerIdentity"}, "code": sts.Outcomes(), "result": renewalResults,
	}
	families, err := w.registry(true).Gather()
	w.must(err)
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			for _, label := range metric.GetLabel() {
				own := label.GetName() == "namespace" || label.GetName() == "name"
				if !own && !slices.Contains(allowed[label.GetName()], label.GetValue()) {
					t.Errorf("%s has %s=%q", family.GetName(), label.GetName(), label.GetValue())
				}
			}
		}
	}
	told := w.exposed(true)
	held := w.secret("orders-6").Data
	for _, hidden := range []string{
		"tenant", w.key.ID, w.key.Secret, w.server.URL, account, role, string(held[secret.KeyAccessKeyID]),
		string(held[secret.KeyAccessKeySecret]), string(held[secret.KeySecurityToken]),
	} {
		if hidden == "" || strings.Contains(told, hidden) {
			t.Errorf("%.8s… is told", hidden)
		}
	}
	if !strings.Contains(told, `stscredential_sts_requests_total{action="AssumeRole",code="other"} 2`) {
		t.Error("the unknown codes are not counted together")
	}
}
