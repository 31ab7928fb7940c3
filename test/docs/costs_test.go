// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/stscredential/sts-credential-operator/internal/credentials"
	"github.com/stscredential/sts-credential-operator/internal/renewal"
)

// What docs/operations.md says a credential costs is what the schedule comes to.
func TestCosts(t *testing.T) {
	page, err := Read(repository(t), "docs/operations.md")
	must(t, err)
	rows := regexp.MustCompile(`(?m)^\| (\d+[mh]) \| ([\d.]+) \| ([\d.]+) \|`).FindAllStringSubmatch(page.Text, -1)
	if len(rows) < 4 {
		t.Fatalf("%d rows", len(rows))
	}
	for _, row := range rows {
		duration, err := time.ParseDuration(row[1])
		must(t, err)
		calls := renewalsADay(duration)
		for column, want := range map[int]float64{2: calls, 3: 2 * calls} {
			if said, err := strconv.ParseFloat(row[column], 64); err != nil || math.Abs(said-want) > 0.05*want {
				t.Errorf("credentials of %s: the page says %s in column %d, it is %.1f", row[1], row[column], column, want)
			}
		}
	}
}

// renewalsADay is how often a credential is renewed a day, over many of them and a month, with the default renewBefore.
func renewalsADay(duration time.Duration) float64 {
	const objects, days = 100, 30
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	renewals := 0
	for i := range objects {
		for now := start; now.Before(start.AddDate(0, 0, days)); renewals++ {
			now = renewal.Decide(now, renewal.Facts{Duration: duration, Seed: fmt.Sprint(i), Record: &credentials.Record{
				IssuedAt: now, ExpiresAt: now.Add(duration), RequestID: fmt.Sprint(renewals),
			}}).RenewAt
		}
	}
	return float64(renewals) / objects / days
}
