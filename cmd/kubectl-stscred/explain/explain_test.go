// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package explain_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stscredential/sts-credential-operator/cmd/kubectl-stscred/doctor"
	"github.com/stscredential/sts-credential-operator/cmd/kubectl-stscred/explain"
	"github.com/stscredential/sts-credential-operator/internal/sts"
)

const repository = "../../../"

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(repository + path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// names returns the names of the entries of some kinds.
func names(kinds ...explain.Kind) (found []string) {
	for _, e := range explain.All() {
		if slices.Contains(kinds, e.Kind) {
			found = append(found, e.Name)
		}
	}
	return found
}

func wantSame(t *testing.T, what string, got, want []string) {
	t.Helper()
	for _, name := range want {
		if !slices.Contains(got, name) {
			t.Errorf("%s %s has no entry", what, name)
		}
	}
	for _, name := range got {
		if !slices.Contains(want, name) {
			t.Errorf("there is no %s %s", what, name)
		}
	}
}

func TestEveryCodeHasAnEntry(t *testing.T) {
	var known []string
	for _, c := range sts.KnownCodes() {
		known = append(known, c.Code)
	}
	wantSame(t, "code", names(explain.KindCode), known)
	for _, e := range explain.All() {
		if e.Kind == explain.KindCode && e.Reason == "" {
			t.Errorf("code %s has no condition reason", e.Name)
		}
	}
}

func TestEveryConditionAndReasonHasAnEntry(t *testing.T) {
	constants := func(prefix string) (values []string) {
		for _, m := range regexp.MustCompile(`(?m)^(?:const|\t)\s*`+prefix+`\w+\s+= "(\w+)"`).FindAllStringSubmatch(read(t, "api/v1alpha1/conditions.go"), -1) {
			values = append(values, m[1])
		}
		return values
	}
	wantSame(t, "condition", names(explain.KindCondition), constants("Condition"))
	wantSame(t, "reason", names(explain.KindReason, explain.KindEvent), constants("Reason"))
}

func TestEveryCheckHasAnEntry(t *testing.T) {
	wantSame(t, "check", names(explain.KindCheck), doctor.CheckNames())
}

// The page and the entries know the same codes, reasons and texts of STS.
func TestTroubleshootingPage(t *testing.T) {
	page := read(t, "docs/troubleshooting.md")
	_, page, _ = strings.Cut(page, "\n## Conditions")
	page, questions, _ := strings.Cut(page, "\n## Common questions")
	for _, e := range explain.All() {
		if e.Kind != explain.KindCheck && !strings.Contains(page, "`"+e.Name+"`") {
			t.Errorf("docs/troubleshooting.md lacks %s", e.Name)
		}
		for _, text := range e.Texts {
			if !strings.Contains(page, "| "+text+" |") {
				t.Errorf("docs/troubleshooting.md lacks a text of %s: %s", e.Name, text)
			}
		}
	}
	for _, row := range regexp.MustCompile(`(?m)^\| [^|]*\|`).FindAllString(page, -1) {
		for _, m := range regexp.MustCompile("`([A-Z][A-Za-z.*]+)`").FindAllStringSubmatch(row, -1) {
			if _, found := explain.Find(m[1]); !found {
				t.Errorf("docs/troubleshooting.md has %s, which has no entry", m[1])
			}
		}
	}
	if len(questions) == 0 {
		t.Error("the page has no questions")
	}
}

// Each entry has a meaning, steps and a section that exists.
func TestEntriesAreComplete(t *testing.T) {
	seen := map[string]bool{}
	for _, e := range explain.All() {
		if e.Meaning == "" || len(e.Steps) == 0 || seen[e.Name] || e.Kind == explain.KindCode && len(e.Causes) == 0 {
			t.Errorf("the entry %s is incomplete, or there are two", e.Name)
		}
		seen[e.Name] = true
		path, section, _ := strings.Cut(e.Docs[strings.Index(e.Docs, "docs/"):], "#")
		if path == "docs/kubectl-plugin.md" {
			continue
		}
		if section != "" && !slices.Contains(sections(read(t, path)), section) {
			t.Errorf("%s: %s has no section %s", e.Name, path, section)
		}
		read(t, path)
	}
}

// sections are the anchors of a page.
func sections(page string) (anchors []string) {
	for _, m := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(page, -1) {
		anchor := regexp.MustCompile(`[^a-z0-9 -]`).ReplaceAllString(strings.ToLower(m[1]), "")
		anchors = append(anchors, strings.ReplaceAll(anchor, " ", "-"))
	}
	return anchors
}

func TestFind(t *testing.T) {
	for name, want := range map[string]string{
		"NoPermission": "NoPermission", "nopermission": "NoPermission", "RoleRefused": "RoleRefused",
		"InvalidParameter.Foo": "InvalidParameter*", "AuthenticationFail.OIDCToken.Invalid": "AuthenticationFail.OIDCToken*",
		"AuthenticationFail.Else": "AuthenticationFail*", "Throttling.User": "Throttling*", "Throttling": "Throttling*", "role-not-granted": "role-not-granted",
		"Nonsense": "", "": "",
	} {
		if got, found := explain.Find(name); got.Name != want || found != (want != "") {
			t.Errorf("Find(%q) = %q, %t, want %q", name, got.Name, found, want)
		}
	}
}

func TestSimilar(t *testing.T) {
	for name, want := range map[string]string{
		"NoPermision": "NoPermission", "RoleRefuse": "RoleRefused", "PolicyGrammar": "InvalidParameter.PolicyGrammar", "Trottled": "Throttled",
	} {
		if got := explain.Similar(name); len(got) == 0 || got[0] != want || len(got) > 3 {
			t.Errorf("Similar(%q) = %q, want %s first", name, got, want)
		}
	}
	if got := explain.Similar("xyzzy-plugh-nothing"); len(got) > 0 {
		t.Errorf("Similar = %q, want none", got)
	}
}
