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
	"github.com/stscredential/sts-credential-operator/internal/metrics"
	"github.com/stscredential/sts-credential-operator/internal/secret"
	"github.com/stscredential/sts-credential-operator/internal/sts"
	"github.com/stscredential/sts-credential-operator/test/stsemulator"
)

var update = flag.Bool("update", false, "write the golden files anew")

// registry has the metrics of the test's operator, limited to the test's namespace.
func (env *environment) registry(elected bool) *prometheus.Registry {
	env.Helper()
	leading := make(chan struct{})
	if elected {
		close(leading)
	}
	reported := &Reconciler{Client: client.NewNamespacedClient(cached, env.Namespace), STS: env.stsClient, Budget: env.Budget, Operator: env.Operator, Metrics: env.Metrics}
	registry := prometheus.NewPedanticRegistry()
	env.Must(reported.RegisterMetrics(registry, leading))
	env.Must(registry.Register(rollout.NewResults()))
	return registry
}

// scrape is what a scrape reads.
func (env *environment) scrape(elected bool) string {
	env.Helper()
	answer := httptest.NewRecorder()
	promhttp.HandlerFor(env.registry(elected), promhttp.HandlerOpts{}).ServeHTTP(answer, httptest.NewRequest("GET", "/metrics", nil))
	return strings.ReplaceAll(answer.Body.String(), `namespace="`+env.Namespace+`"`, `namespace="shop"`)
}

// samples are the samples of a scrape, by name and labels.
func (env *environment) samples(elected bool) map[string]float64 {
	env.Helper()
	values := map[string]float64{}
	for line := range strings.Lines(env.scrape(elected)) {
		if i := strings.LastIndex(line, " "); !strings.HasPrefix(line, "#") {
			value, err := strconv.ParseFloat(strings.TrimSpace(line[i:]), 64)
			env.Must(err)
			values[line[:i]] = value
		}
	}
	return values
}

// wantMetrics requires samples of the leader's; a negative value means that there is none. The prefix is left out.
func (env *environment) wantMetrics(story string, want map[string]float64) {
	env.Helper()
	got := env.samples(true)
	for name, value := range want {
		if is, there := got["stscredential_"+name]; there != (value >= 0) || there && is != value {
			env.Errorf("%s: %s is %v (%v), want %v", story, name, is, there, value)
		}
	}
}

// The names, types, labels and texts are what dashboards and alerts are built on.
func TestExposition(t *testing.T) {
	env := newEnvironment(t)
	start := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	env.OperatorClock.SetTime(start)
	for name, age := range map[string]time.Duration{"orders": 20 * time.Minute, "forgotten": 2 * time.Hour, "asleep": 0} {
		c := env.CreateCredential(name, func(c *v1alpha1.StsCredential) { c.Spec.Suspend = name == "asleep" })
		if name != "asleep" {
			c.Status.IssuedAt = &metav1.Time{Time: start.Add(-age)}
			c.Status.ExpiresAt = &metav1.Time{Time: start.Add(time.Hour - age)}
			c.Status.RenewAt = &metav1.Time{Time: start.Add(40*time.Minute - age)}
		}
		if name == "orders" {
			c.Status.Consumers = &v1alpha1.Consumers{Pods: 5, Stale: 2}
		}
		c.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonIssued, LastTransitionTime: metav1.Time{Time: start}}}
		env.Must(api.Status().Update(env.Context(), c))
		env.WaitForCache(c)
	}
	env.Metrics.Called(sts.ActionAssumeRole, "OK", 80*time.Millisecond)
	env.Metrics.Waited(3 * time.Second)
	golden := filepath.Join("testdata", "metrics.txt")
	if *update {
		env.Must(os.WriteFile(golden, []byte(env.scrape(true)), 0o600))
	}
	want, err := os.ReadFile(golden)
	env.Must(err)
	if got := env.scrape(true); got != string(want) {
		t.Errorf("the exposition differs from %s; alerts and dashboards go by it:\n%s", golden, got)
	}
	problems, err := testutil.GatherAndLint(env.registry(true))
	if err != nil || len(problems) > 0 {
		t.Errorf("%v %v", problems, err)
	}
}

// Whatever tenants write and STS answers, no label but namespace and name has a value of theirs, and nothing secret is reported.
func TestLabelsAreBounded(t *testing.T) {
	env := newEnvironment(t)
	for _, code := range []string{"Novelty.1", "Novelty.2", "NoPermission", "Throttling.Tenant", "InvalidParameter.Tenant"} {
		env.Emulator.Inject(stsemulator.Fault{Action: "AssumeRole", Kind: stsemulator.FaultError, Code: code, Message: "tenant", Times: 1})
	}
	for i := range 8 {
		c := env.CreateCredential("orders-"+strconv.Itoa(i), func(c *v1alpha1.StsCredential) {
			c.Spec.SessionName = env.Namespace + ".tenant"
			if i == 7 {
				c.Spec.Policy = &runtime.RawExtension{Raw: []byte(`{"Version":"1","tenant":"tenant"}`)}
			}
		})
		env.Step(time.Minute)
		env.reconcile(c)
		env.WaitForCache(c)
	}
	allowed := map[string][]string{
		"action": {"AssumeRole", "AssumeRoleWithOIDC", "GetCallerIdentity"}, "code": sts.Results(), "result": append([]string{v1alpha1.ReasonRestarted, v1alpha1.ReasonRolloutRefused}, metrics.RenewalResults()...),
	}
	families, err := env.registry(true).Gather()
	env.Must(err)
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
	reported := env.scrape(true)
	held := env.Secret("orders-6").Data
	for _, hidden := range []string{
		"tenant", env.OperatorKey.ID, env.OperatorKey.Secret, env.Server.URL, account, role, string(held[secret.KeyAccessKeyID]),
		string(held[secret.KeyAccessKeySecret]), string(held[secret.KeySecurityToken]),
	} {
		if hidden == "" || strings.Contains(reported, hidden) {
			t.Errorf("%.8s… is reported", hidden)
		}
	}
	if !strings.Contains(reported, `stscredential_sts_requests_total{action="AssumeRole",code="other"} 2`) {
		t.Error("the unknown codes are not counted together")
	}
}
