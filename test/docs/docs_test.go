// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Where blocks are run.
const (
	onCluster = "cluster"
	onNode    = "e2e"
	inCI      = ".ci/run"
)

// Languages of blocks that nobody runs: what is printed, drawn or computed.
const prose = "text"

// notRun are the reasons not to run a block, and how each of its commands then has to begin.
var notRun = map[string]*regexp.Regexp{
	"needs an Alibaba Cloud account": regexp.MustCompile(`^aliyun `),
	// Code of a language whose packages cannot be had where the tests run: the page says so.
	"unproven":           regexp.MustCompile(`.`),
	"needs the internet": regexp.MustCompile(`^(make docker-buildx?|docker (pull|tag|push)|crane|cosign|[a-z]+=) ?`),
}

// pages are all of the repository's Markdown.
func pages(t *testing.T) (all []*Page) {
	t.Helper()
	for _, file := range files(t, "*.md") {
		page, err := Read(repository(t), file)
		must(t, err)
		all = append(all, page)
	}
	if len(all) < 10 {
		t.Fatalf("only %d pages found", len(all))
	}
	return all
}

// files are the repository's that match, but for those that are deleted and not committed yet.
func files(t *testing.T, pattern string) []string {
	t.Helper()
	list := exec.CommandContext(t.Context(), "git", "ls-files", "--cached", "--others", "--exclude-standard", pattern)
	list.Dir = repository(t)
	output, err := list.Output()
	must(t, err)
	return slices.DeleteFunc(strings.Fields(string(output)), func(file string) bool {
		_, err := os.Stat(filepath.Join(repository(t), file))
		return err != nil
	})
}

// Every block says where it is run, and it is run there.
func TestMarkers(t *testing.T) {
	ci := targetsInCI(t)
	for _, page := range pages(t) {
		if strings.HasPrefix(page.Path, "docs/runbooks/StsCredential") || original(page.Path) != "" {
			continue // an alert's, run by test/monitoring, or a translation, whose blocks are those of the English page
		}
		for _, b := range page.Blocks {
			if problem := problemOf(t, b, ci); problem != "" {
				t.Errorf("%s:%d: %s", b.Page, b.Line, problem)
			}
		}
	}
}

// problemOf says what is wrong with a block's marker, if anything is.
func problemOf(t *testing.T, b Block, ci []string) string {
	switch {
	case b.Language == prose:
		if regexp.MustCompile(`(?m)^\s*(\$ |kubectl|helm|make|aliyun|docker|go )`).MatchString(b.Text) {
			return "commands stand in a block of prose: make it a console block"
		}
	case b.NotRun != "":
		commands, ok := notRun[b.NotRun]
		if !ok {
			return "this is no reason not to run a block: " + b.NotRun
		}
		for _, line := range lines(b) {
			if !commands.MatchString(line) {
				return b.NotRun + " is said of: " + line
			}
		}
	case b.Run == inCI:
		for _, line := range lines(b) {
			if words := strings.Fields(line); words[0] != "make" || !slices.Contains(ci, words[1]) {
				return ".ci/run does not run: " + line
			}
		}
	case b.Run == onNode:
		if !reads(t, "TestRelease", b.Page) {
			return "test/e2e does not play this page"
		}
	case strings.HasPrefix(b.Run, "Test"):
		if !reads(t, b.Run, filepath.Base(b.Page)) {
			return "there is no test " + b.Run + " that reads this page"
		}
	case b.Run != onCluster:
		return "say in a comment before the block where it is run; see test/docs/page.go"
	}
	return ""
}

// targetsInCI are the make targets that .ci/run runs, and those that these depend on.
func targetsInCI(t *testing.T) (targets []string) {
	t.Helper()
	ci, err := os.ReadFile(filepath.Join(repository(t), ".ci", "run"))
	must(t, err)
	makefile, err := os.ReadFile(filepath.Join(repository(t), "Makefile"))
	must(t, err)
	for _, words := range submatches(string(ci), `(?m)^step make (.*)$`) {
		targets = append(targets, strings.Fields(words)...)
	}
	for i := 0; i < len(targets); i++ {
		for _, words := range submatches(string(makefile), `(?m)^`+regexp.QuoteMeta(targets[i])+`: ([a-z -]+)##`) {
			targets = append(targets, strings.Fields(words)...)
		}
	}
	return targets
}

// lines are a block's commands, without comments and with continued lines in one.
func lines(b Block) (all []string) {
	text := strings.ReplaceAll(b.Text, "\\\n", " ")
	if b.Language == "console" {
		for _, c := range Commands(text) {
			all = append(all, c.Line)
		}
		return all
	}
	for line := range strings.Lines(text) {
		if line, _, _ = strings.Cut(line, " #"); strings.TrimSpace(line) != "" {
			all = append(all, strings.TrimSpace(line))
		}
	}
	return all
}

// reads reports whether there is a test of that name, in a package whose tests name the page.
func reads(t *testing.T, name, page string) bool {
	t.Helper()
	tests, readers := map[string]bool{}, map[string]bool{}
	for _, file := range files(t, "*_test.go") {
		content, err := os.ReadFile(filepath.Join(repository(t), file))
		must(t, err)
		room := path.Dir(file)
		tests[room] = tests[room] || strings.Contains(string(content), "\nfunc "+name+"(t *testing.T)")
		readers[room] = readers[room] || strings.Contains(string(content), page)
	}
	for room, has := range tests {
		if has && readers[room] {
			return true
		}
	}
	return false
}

// What the docs give to paste works, page by page, on a real API server and with the operator at work.
func TestPages(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a control plane")
	}
	s := newStage(t)
	for _, page := range pages(t) {
		if !slices.ContainsFunc(page.Blocks, func(b Block) bool { return b.Run == onCluster }) {
			continue
		}
		t.Run(page.Path, func(t *testing.T) { s.play(t, page) })
		s.clear()
	}
	t.Run("health", s.health)
}
