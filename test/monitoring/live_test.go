// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package monitoring

import (
	"context"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/stscredential/sts-credential-operator/test/monitoring/environment"
	"github.com/stscredential/sts-credential-operator/test/stsemulator"
)

const (
	// lifetime of the sessions that STS issues here: renewals come every 20 seconds or so.
	lifetime = 30 * time.Second
	patience = 3 * time.Minute
	span     = time.Hour
	rate     = 20 * time.Second

	refusedRole = "acs:ram::" + environment.Account + ":role/orders-refused"
)

// withoutData are metrics of features that are disabled here: consumer tracking, leader election.
var withoutData = []string{"stscredential_stale_pods", "leader_election_master_status"}

// live is a test with a running environment.
type live struct {
	*testing.T
	*environment.Environment
}

func (l *live) query(expr string) []environment.Series {
	l.Helper()
	series, err := l.Prometheus.Query(l.Context(), environment.Query(expr, rate, span))
	must(l.T, err)
	return series
}

// eventually polls until nothing is missing.
func (l *live) eventually(what string, left func() []string) {
	l.Helper()
	var missing []string
	err := wait.PollUntilContextTimeout(l.Context(), time.Second/2, patience, true, func(context.Context) (bool, error) {
		missing = left()
		return len(missing) == 0, nil
	})
	if err != nil {
		l.Fatalf("not in time: %s; missing: %s", what, strings.Join(missing, "\n"))
	}
}

// kubectl runs kubectl in the root of the repository, with the rights of a cluster admin.
func (l *live) kubectl(args ...string) {
	l.Helper()
	if output, err := l.Command(l.Context(), filepath.Join(l.Plane.Assets(), "kubectl"), args...).CombinedOutput(); err != nil {
		l.Fatalf("kubectl %s: %v\n%s", strings.Join(args, " "), err, output)
	}
}

// short limits the sessions that STS issues to the test's lifetime.
func (l *live) short() {
	l.STS.Inject(stsemulator.Fault{Kind: stsemulator.FaultShortLifetime, Duration: lifetime})
}

// The operator works, then STS fails, then it works again: every query of the dashboard and of the alerts returns data from a real
// Prometheus.
func TestLive(t *testing.T) {
	env, err := environment.Start(t.Context(), environment.Options{Root: root, ScrapeInterval: time.Second})
	must(t, err)
	t.Cleanup(func() {
		if err := env.Stop(); err != nil {
			t.Error(err)
		}
	})
	l := &live{T: t, Environment: env}
	l.short()
	for i := range 5 {
		must(t, l.CreateCredential(t.Context(), fmt.Sprint("orders-", i), environment.RoleARN))
	}
	for name, role := range map[string]string{"orders-reader": environment.RoleARN, "suspended": environment.RoleARN, "refused": refusedRole} {
		must(t, l.CreateCredential(t.Context(), name, role))
	}
	l.eventually("the one to be suspended is ready", func() []string {
		if len(l.query(`stscredential_ready{name="suspended"} == 1`)) == 0 {
			return []string{"suspended"}
		}
		return nil
	})
	l.kubectl("-n", environment.Namespace, "patch", "stscredential", "suspended", "--type=merge", `--patch={"spec":{"suspend":true}}`)

	t.Run("Rules", l.rules)
	t.Run("Dashboard", l.dashboard)
	t.Run("Names", l.names)
	t.Run("Runbooks", l.runbooks)
	t.Run("Outage", l.outage)
}

// rules: Prometheus evaluates each without an error.
func (l *live) rules(t *testing.T) {
	var loaded struct {
		Groups []struct {
			Rules []struct{ Name, Health, LastError string }
		}
	}
	l.eventually("all rules have been evaluated", func() (left []string) {
		must(t, l.Prometheus.Get(t.Context(), "/api/v1/rules", &loaded))
		for _, alert := range alerts(t) {
			left = append(left, alert.Alert)
		}
		for _, group := range loaded.Groups {
			for _, rule := range group.Rules {
				if rule.Health == "ok" {
					left = slices.DeleteFunc(left, func(name string) bool { return name == rule.Name })
				}
			}
		}
		return left
	})
	if down := l.query(alert(t, "StsCredentialOperatorDown").Expr); len(down) > 0 {
		t.Errorf("a working operator counts as down: %v", down)
	}
	if refused := l.query(alert(t, "StsCredentialRoleRefused").Expr); len(refused) == 0 {
		t.Error("no refusal is seen")
	}
}

func alert(t *testing.T, name string) environment.Alert {
	t.Helper()
	for _, alert := range alerts(t) {
		if alert.Alert == name {
			return alert
		}
	}
	t.Fatal("there is no alert ", name)
	return environment.Alert{}
}

// dashboard: every panel has data, except those of features that are disabled here.
func (l *live) dashboard(t *testing.T) {
	d, err := environment.ReadDashboard(filepath.Join(root, environment.DashboardFile))
	must(t, err)
	ids := map[int]bool{}
	for _, panel := range d.Panels {
		ids[panel.ID] = true
	}
	l.eventually("every query of the dashboard finds something", func() []string { return l.empty(d, append(withoutData, "ALERTS{")) })
	if len(ids) != len(d.Panels) || len(ids) < 20 {
		t.Errorf("%d panels have %d ids", len(d.Panels), len(ids))
	}
	for _, annotation := range d.Annotations.List {
		if annotation.Expr != "" {
			l.query(annotation.Expr)
		}
	}
	for _, variable := range d.Templating.List {
		metric, label, ok := strings.Cut(strings.TrimSuffix(strings.TrimPrefix(variable.Definition, "label_values("), ")"), ", ")
		if variable.Type == "query" && (!ok || len(l.query(fmt.Sprintf(`group by (%s) (%s{%[1]s!=""})`, label, strings.TrimSuffix(metric, `{job=~"$job"}`)))) == 0) {
			t.Errorf("the variable %s has no values", variable.Name)
		}
	}
}

// empty returns the queries of the dashboard without data, except those that contain one of the exceptions.
func (l *live) empty(d *environment.Dashboard, exceptions []string) (empty []string) {
	for _, panel := range d.Panels {
		for _, target := range panel.Targets {
			excepted := slices.ContainsFunc(exceptions, func(part string) bool { return strings.Contains(target.Expr, part) })
			if len(l.query(target.Expr)) == 0 && !excepted {
				empty = append(empty, panel.Title+": "+target.Expr)
			}
		}
	}
	return empty
}

// metricNames matches names of metrics of the operator and of its libraries.
var metricNames = regexp.MustCompile(`\b(stscredential|controller_runtime|workqueue|rest_client|leader_election|process|go)_[a-z_]+[a-z]\b`)

// names: every metric that the alerts, the dashboard and the docs name exists.
func (l *live) names(t *testing.T) {
	var known []string
	must(t, l.Prometheus.Get(t.Context(), "/api/v1/label/__name__/values", &known))
	known = append(known, withoutData...)
	for _, name := range known {
		if histogram, ok := strings.CutSuffix(name, "_bucket"); ok {
			known = append(known, histogram)
		}
	}
	pages, err := filepath.Glob(filepath.Join(root, "docs", "runbooks", "StsCredential*.md"))
	must(t, err)
	for i, page := range pages {
		pages[i], err = filepath.Rel(root, page)
		must(t, err)
	}
	found := 0
	for _, file := range append(pages, environment.AlertsFile, environment.DashboardFile, filepath.Join("docs", "monitoring.md")) {
		for _, name := range metricNames.FindAllString(read(t, file), -1) {
			found++
			if !slices.Contains(known, name) {
				t.Errorf("%s names %s, which the operator does not expose", file, name)
			}
		}
	}
	page := read(t, "docs", "monitoring.md")
	for _, name := range known {
		if strings.HasPrefix(name, "stscredential_") && !regexp.MustCompile(`_(bucket|sum|count)$`).MatchString(name) && !strings.Contains(page, "`"+name+"`") {
			t.Errorf("docs/monitoring.md does not explain %s", name)
		}
	}
	if found < 50 {
		t.Errorf("only %d names of metrics found", found)
	}
}

// outage: StsCredentials without renewals cause one alert after the other, a suspended one causes none, and afterwards all alerts
// end.
func (l *live) outage(t *testing.T) {
	stages := []string{"StsCredentialRenewalFailing", "StsCredentialExpiringSoon", "StsCredentialExpired"}
	l.eventually("no alert is about to fire", func() (left []string) {
		for _, stage := range stages {
			left = append(left, named(l.query(alert(t, stage).Expr))...)
		}
		return left
	})
	l.STS.Inject(stsemulator.Fault{Kind: stsemulator.FaultBadGateway})
	met := map[string]bool{}
	l.eventually("each has been through all stages", func() (left []string) {
		for _, stage := range stages {
			for _, name := range named(l.query(alert(t, stage).Expr)) {
				met[stage+" "+name] = true
			}
			for _, name := range []string{"orders-0", "orders-1", "orders-2", "orders-3", "orders-4"} {
				if !met[stage+" "+name] {
					left = append(left, stage+" "+name)
				}
			}
		}
		return left
	})
	d, err := environment.ReadDashboard(filepath.Join(root, environment.DashboardFile))
	must(t, err)
	l.eventually("the dashboard shows alerts, too", func() []string { return l.empty(d, withoutData) })
	l.STS.Clear()
	l.short()
	l.eventually("all is well again", func() (left []string) {
		for _, stage := range stages {
			left = append(left, named(l.query(alert(t, stage).Expr))...)
		}
		return left
	})
	for what := range met {
		if strings.HasSuffix(what, " suspended") || strings.HasSuffix(what, " refused") {
			t.Error(what)
		}
	}
	if expired := l.query(`stscredential_expired_seconds_total > 1`); len(expired) != 1 {
		t.Errorf("the outage does not count against the objective: %v", expired)
	}
	if expired := l.query(`stscredential_expiration_timestamp_seconds{name="suspended"} < time() unless stscredential_ready`); len(expired) != 1 {
		t.Errorf("the suspended one has not expired, or counts as expired: %v", expired)
	}
}

func named(series []environment.Series) (names []string) {
	for _, one := range series {
		names = append(names, one.Metric["name"])
	}
	return names
}
