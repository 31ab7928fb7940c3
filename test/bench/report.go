// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

const (
	pageFile    = "performance.md"
	pictureFile = "images/performance.svg"
	// byHand is the end of the generated text. The text behind it is kept.
	byHand = "<!-- What follows is written by hand. make bench keeps it. -->"
)

// save writes the page and the picture to the folder of the docs, and keeps the text that was written by hand.
func (r results) save(docs string) error {
	page := filepath.Join(docs, pageFile)
	old, err := os.ReadFile(page)
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	_, kept, _ := strings.Cut(string(old), byHand)
	if kept == "" {
		kept = "\n"
	}
	if err := os.WriteFile(page, []byte(r.page()+byHand+kept), 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(docs, pictureFile), []byte(r.picture()), 0o644)
}

const agentHeading = "The agent"

// saveAgent replaces the agent's section of the page in the folder of the docs.
func (r results) saveAgent(docs string) error {
	page := filepath.Join(docs, pageFile)
	old, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	const picture = "\n!["
	before, rest, found := strings.Cut(string(old), picture)
	if !found {
		return fmt.Errorf("%s has no picture behind its tables. Run the whole benchmark first", page)
	}
	before, _, _ = strings.Cut(before, "## "+agentHeading+"\n")
	section := fmt.Sprintf("## %s\n\n%s\n", agentHeading, r.agentTable())
	return os.WriteFile(page, []byte(strings.TrimRight(before, "\n")+"\n\n"+section+picture+rest), 0o644)
}

// page is the generated text of the page.
func (r results) page() string {
	return `<!-- Written by make bench; do not edit above the line that says so. -->

# Performance

What the operator costs, measured by ` + "`make bench`" + ` in one run, compared with a baseline: a plain loop that does the same work.

` + r.Conditions.text(r.Took) + "\n" + r.tables() + `
![Cost against the number of credentials](` + pictureFile + `)

`
}

// tables are all figures, as Markdown.
func (r results) tables() string {
	var b strings.Builder
	section := func(title string, t table) {
		if len(t.rows) > 0 {
			fmt.Fprintf(&b, "## %s\n\n%s\n", title, t)
		}
	}
	if r.Missing != "" {
		fmt.Fprintf(&b, "**This run ended early, and not all was measured:** %s\n\n", r.Missing)
	}
	if len(r.Sizes) > 0 {
		section("Targets", r.targetTable())
	}
	section("First issuance", r.issuanceTable())
	section("Where the CPU time goes", r.loadTable())
	section("Restart", r.restartTable())
	section("Renewal", r.renewalTable())
	section("Secrets of other owners", r.crowdedTable())
	section(agentHeading, r.agentTable())
	return b.String()
}

// table is a table in Markdown. The first row is its head.
type table struct{ rows [][]string }

func (t *table) row(cells ...string) { t.rows = append(t.rows, cells) }

func (t table) String() string {
	var b strings.Builder
	for i, cells := range t.rows {
		fmt.Fprintf(&b, "| %s |\n", strings.Join(cells, " | "))
		if i == 0 {
			b.WriteString("|" + strings.Repeat("---|", len(cells)) + "\n")
		}
	}
	return b.String()
}

func (r results) targetTable() (t table) {
	t.row("", "target", "measured", "")
	for _, one := range r.targets() {
		t.row(one.what, one.want, one.got, one.verdict())
	}
	return t
}

// columns returns a row with one cell for each size.
func (r results) columns(title string, cell func(sized) string) []string {
	cells := []string{title}
	for _, s := range r.Sizes {
		cells = append(cells, cell(s))
	}
	return cells
}

func (r results) issuanceTable() (t table) {
	if len(r.Sizes) == 0 {
		return t
	}
	t.row(r.columns("credentials", func(s sized) string { return fmt.Sprint(s.N) })...)
	pair := func(title string, of func(sized) issuance) {
		t.row(r.columns(title, func(s sized) string {
			return fmt.Sprintf("%s s, %s/s", short(of(s).Took.Seconds()), short(of(s).perSecond(s.N)))
		})...)
	}
	pair("waiting: baseline", func(s sized) issuance { return s.BaselineWaiting })
	pair("waiting: operator", func(s sized) issuance { return s.Waiting })
	t.row(r.columns("baseline / operator", func(s sized) string { return short(ratio(s.BaselineWaiting, s.Waiting)) })...)
	t.row(r.columns("API requests per credential", func(s sized) string { return short(per(s.Waiting.Requests.sum(), s.N)) })...)
	pair("created: baseline", func(s sized) issuance { return s.BaselineCreated })
	pair("created: operator", func(s sized) issuance { return s.Created })
	t.row(r.columns("baseline / operator", func(s sized) string { return short(ratio(s.BaselineCreated, s.Created)) })...)
	t.row(r.columns("calls to STS per credential", func(s sized) string { return short(per(s.Created.STSCalls, s.N)) })...)
	t.row(r.columns("API requests per credential", func(s sized) string { return short(per(s.Created.Requests.sum(), s.N)) })...)
	for _, request := range r.requests() {
		t.row(r.columns("· "+request, func(s sized) string { return short(per(s.Created.Requests[request], s.N)) })...)
	}
	t.row(r.columns("CPU per credential", func(s sized) string { return short(s.Created.cpu(s.N)) + " ms" })...)
	t.row(r.columns("RSS without credentials", func(s sized) string { return memory(s.Created.IdleRSS) })...)
	t.row(r.columns("RSS", func(s sized) string { return memory(s.Created.RSS) })...)
	t.row(r.columns("peak", func(s sized) string { return memory(s.Created.Peak) })...)
	return t
}

// requests lists the kinds of requests of first issuances.
func (r results) requests() []string {
	all := map[string]bool{}
	for _, s := range r.Sizes {
		for request := range s.Created.Requests {
			all[request] = true
		}
	}
	return slices.Sorted(maps.Keys(all))
}

func memory(bytes int) string { return short(mib(bytes)) + " MiB" }
