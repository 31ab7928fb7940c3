// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stscredential

import (
	"flag"
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
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/controllers/rollout"
	"github.com/stscredential/sts-credential-operator/internal/secret"
	"github.com/stscredential/sts-credential-operator/internal/sts"
	"github.com/stscredential/sts-credential-operator/test/stsemulator"
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
	w.must(registry.Register(rollout.NewResults()))
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

// The names, types, labels and texts are what dashboards and alerts are built on.
func TestExposition(t *testing.T) {
	w := newWorld(t)
	start := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	w.clock.SetTime(start)
	for name, age := range map[string]time.Duration{"orders": 20 * time.Minute, "forgotten": 2 * time.Hour, "asleep": 0} {
		c := w.credential(name, func(c *v1alpha1.StsCredential) { c.Spec.Suspend = name == "asleep" })
		if name != "asleep" {
			c.Status.IssuedAt = &metav1.Time{Time: start.Add(-age)}
			c.Status.ExpiresAt = &metav1.Time{Time: start.Add(time.Hour - age)}
			c.Status.RenewAt = &metav1.Time{Time: start.Add(40*time.Minute - age)}
		}
		if name == "orders" {
			c.Status.Consumers = &v1alpha1.Consumers{Pods: 5, Stale: 2}
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
		"action": {"AssumeRole", "AssumeRoleWithOIDC", "GetCallerIdentity"}, "code": sts.Results(), "result": append([]string{v1alpha1.ReasonRestarted, v1alpha1.ReasonRolloutRefused}, renewalResults...),
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
