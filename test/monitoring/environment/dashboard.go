// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package environment

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"
)

// Dashboard has the fields of Grafana's JSON that are used here.
type Dashboard struct {
	SchemaVersion int
	UID, Title    string
	Panels        []Panel
	Templating    struct{ List []Variable }
	Annotations   struct{ List []Annotation }
}

// Variable is what a user can choose at the top of the dashboard.
type Variable struct{ Name, Type, AllValue, Definition string }

// Annotation marks times in all panels.
type Annotation struct{ Name, Expr string }

// Panel is one picture, or a row's heading.
type Panel struct {
	ID                       int
	Type, Title, Description string
	Datasource               Datasource
	GridPos                  struct{ X, Y, W, H int }
	Targets                  []Target
	FieldConfig              FieldConfig
}

// FieldConfig says how a panel draws.
type FieldConfig struct {
	Defaults struct {
		Unit   string
		Custom struct {
			DrawStyle string
			Stacking  struct{ Mode string }
		}
	}
	Overrides []struct {
		Matcher    struct{ Options string }
		Properties []struct {
			ID    string
			Value any
		}
	}
}

// Datasource is where a query goes.
type Datasource struct{ Type, UID string }

// Target is a query of a panel.
type Target struct {
	Datasource                        Datasource
	RefID, Expr, LegendFormat, Format string
	Instant, Range                    bool
}

// ReadDashboard reads Grafana's JSON from a file.
func ReadDashboard(path string) (*Dashboard, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	d := &Dashboard{}
	return d, json.Unmarshal(content, d)
}

// Query returns an expression of the dashboard with its variables replaced, as Grafana does it if All is chosen. Grafana computes
// rateInterval from the step and the scrape interval; span is the time that is shown.
func Query(expr string, rateInterval, span time.Duration) string {
	return strings.NewReplacer(
		"$__rate_interval", inSeconds(rateInterval),
		"$__range", inSeconds(span),
		"$job", ".*", "$namespace", ".*",
	).Replace(expr)
}

func inSeconds(d time.Duration) string { return fmt.Sprintf("%ds", int(d.Seconds())) }
