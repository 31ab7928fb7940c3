// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package monitoring tests the alerts, the dashboard and their documentation.
package monitoring

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stscredential/sts-credential-operator/test/monitoring/environment"
)

var root = filepath.Join("..", "..")

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path ...string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(append([]string{root}, path...)...))
	must(t, err)
	return string(content)
}

func alerts(t *testing.T) []environment.Alert {
	t.Helper()
	all, err := environment.ReadAlerts(filepath.Join(root, environment.AlertsFile))
	must(t, err)
	return all
}

func promtool(t *testing.T, args ...string) {
	t.Helper()
	programs, err := environment.Programs(t.Context(), root)
	must(t, err)
	if output, err := exec.CommandContext(t.Context(), filepath.Join(programs, "promtool"), args...).CombinedOutput(); err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, output)
	}
}

// The tests of promtool in rules/ pass.
func TestAlertStories(t *testing.T) {
	promtool(t, "check", "rules", "--lint=all", "--lint-fatal", filepath.Join(root, environment.AlertsFile))
	stories, err := filepath.Glob(filepath.Join("rules", "*.yaml"))
	must(t, err)
	promtool(t, append([]string{"test", "rules"}, stories...)...)

	var tests strings.Builder
	for _, story := range stories {
		tests.WriteString(read(t, "test", "monitoring", story))
	}
	for _, alert := range alerts(t) {
		if !strings.Contains(tests.String(), "docs/runbooks/"+alert.Alert+".md") {
			t.Errorf("no test in rules/ checks the whole text of %s", alert.Alert)
		}
	}
}

// Each alert has a severity, a summary, a description and a runbook.
func TestAlertsAndRunbooks(t *testing.T) {
	const pages = "https://github.com/stscredential/sts-credential-operator/blob/main/docs/runbooks/"
	var names []string
	for _, alert := range alerts(t) {
		names = append(names, alert.Alert+".md")
		if !regexp.MustCompile(`^StsCredential[A-Z][A-Za-z]+$`).MatchString(alert.Alert) {
			t.Errorf("%q lacks the prefix StsCredential", alert.Alert)
		}
		if s := alert.Labels["severity"]; s != "warning" && s != "critical" {
			t.Errorf("%s has the severity %q", alert.Alert, s)
		}
		if alert.For == "" || alert.Annotations["summary"] == "" || alert.Annotations["description"] == "" {
			t.Errorf("%s lacks for, summary or description", alert.Alert)
		}
		if got, want := alert.Annotations["runbook_url"], pages+alert.Alert+".md"; got != want {
			t.Errorf("%s has the runbook %q, want %q", alert.Alert, got, want)
		}
		page := read(t, "docs", "runbooks", alert.Alert+".md")
		for _, want := range []string{"# " + alert.Alert + "\n", "## Meaning", "## Impact", "## Diagnosis", "## Fix", "## Silence", alert.Labels["severity"]} {
			if !strings.Contains(page, want) {
				t.Errorf("the runbook of %s lacks %q", alert.Alert, want)
			}
		}
		if !strings.Contains(read(t, "docs", "monitoring.md"), "(runbooks/"+alert.Alert+".md)") {
			t.Errorf("docs/monitoring.md does not link to %s", alert.Alert)
		}
	}
	files, err := os.ReadDir(filepath.Join(root, "docs", "runbooks"))
	must(t, err)
	for _, file := range files {
		if strings.HasPrefix(file.Name(), "StsCredential") && !slices.Contains(names, file.Name()) {
			t.Errorf("docs/runbooks/%s belongs to no alert", file.Name())
		}
	}
}
