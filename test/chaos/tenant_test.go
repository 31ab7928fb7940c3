// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stscredential/sts-credential-operator/test/chaos/observer"
)

// The scenario reads the quotas from the page, and refuses a page without one.
func TestRecommendedQuota(t *testing.T) {
	q, err := recommendedQuota(filepath.Join("..", "..", "docs", "security.md"))
	if err != nil {
		t.Fatal(err)
	}
	a := &attack{long: true, quota: q.Spec.Hard}
	if c, s, p := a.share(credentialQuota), a.share(secretQuota), a.share(podQuota); c != 100 || s != 500 || p != 200 {
		t.Errorf("got %d StsCredentials, %d Secrets and %d pods", c, s, p)
	}
	page := filepath.Join(t.TempDir(), "page.md")
	if err := os.WriteFile(page, []byte("```yaml\nkind: Pod\n```\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := recommendedQuota(page); err == nil || !strings.Contains(err.Error(), "no ResourceQuota") {
		t.Errorf("a page without a quota: %v", err)
	}
}

// The scenario checks each limit.
func TestAttackBounds(t *testing.T) {
	good := attackRow{
		watchList: true, peak: peakBound, processes: restarts + 1,
		quiet: observer.Punctuality{Kept: 100, Issued: 100, Slowest: promptBound, Renewed: 200, Latest: promptBound},
	}
	if wrong := good.wrong(); len(wrong) != 0 {
		t.Errorf("within all bounds: %v", wrong)
	}
	for name, tt := range map[string]struct {
		change func(*attackRow)
		want   string
	}{
		"memory":          {func(r *attackRow) { r.peak++ }, "peak RSS"},
		"no processes":    {func(r *attackRow) { r.processes = 1 }, "1 processes"},
		"not issued":      {func(r *attackRow) { r.quiet.Issued-- }, "99 of 100"},
		"issued late":     {func(r *attackRow) { r.quiet.Slowest += time.Second }, "issued after 31s"},
		"no renewals":     {func(r *attackRow) { r.quiet.Renewed = 0 }, "0 renewals"},
		"renewed late":    {func(r *attackRow) { r.quiet.Latest += time.Second }, "renewed 31s after"},
		"nothing created": {func(r *attackRow) { r.quiet = observer.Punctuality{} }, "0 of 0"},
	} {
		row := good
		tt.change(&row)
		if wrong := row.wrong(); len(wrong) != 1 || !strings.Contains(wrong[0], tt.want) {
			t.Errorf("%s: got %q, want %q", name, wrong, tt.want)
		}
	}
}
