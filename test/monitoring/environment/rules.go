// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package environment

import (
	"os"

	"sigs.k8s.io/yaml"
)

// Where the sources are, from the repository's root.
const (
	AlertsFile    = "charts/sts-credential-operator/files/alerts.yaml"
	DashboardFile = "charts/sts-credential-operator/files/dashboard.json"
)

// Alert is a rule of a rules file.
type Alert struct {
	Alert, Expr, For    string
	Labels, Annotations map[string]string
}

// ReadAlerts reads the rules of a rules file of Prometheus.
func ReadAlerts(path string) (alerts []Alert, err error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var file struct {
		Groups []struct{ Rules []Alert }
	}
	err = yaml.Unmarshal(content, &file)
	for _, group := range file.Groups {
		alerts = append(alerts, group.Rules...)
	}
	return alerts, err
}
