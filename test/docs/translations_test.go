// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"crypto/sha256"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	// translationOf matches the first line of a translation: the English page, and the first 12 hex digits of its SHA-256.
	translationOf = regexp.MustCompile(`\A<!-- translation of (\S+), sha256:([0-9a-f]{12}) -->\n`)
	fencedBlock   = regexp.MustCompile("(?ms)^ *```.*?^ *```$")
)

// original returns the English page that a page translates, or "" if the page is no translation.
func original(page string) string {
	if name, ok := strings.CutSuffix(page, ".zh-CN.md"); ok {
		return name + ".md"
	}
	if name, ok := strings.CutPrefix(page, "docs/zh-CN/"); ok {
		return path.Join("docs", name)
	}
	return ""
}

// A translation follows the current English page, and has the same blocks, headings and inline code.
// Its blocks are run only from the English page.
func TestTranslations(t *testing.T) {
	found := 0
	for _, page := range pages(t) {
		source := original(page.Path)
		if source == "" {
			continue
		}
		found++
		english, err := Read(repository(t), source)
		must(t, err)
		hash := fmt.Sprintf("%x", sha256.Sum256([]byte(english.Text)))[:12]
		line := fmt.Sprintf("<!-- translation of %s, sha256:%s -->", source, hash)
		if m := translationOf.FindStringSubmatch(page.Text); m == nil || m[1] != source {
			t.Errorf("%s does not say which version it follows. Write as its first line: %s", page.Path, line)
		} else if m[2] != hash {
			t.Errorf("%s follows an earlier version of %s. Translate what changed (git log -p %s), then write as its first line: %s",
				page.Path, source, source, line)
		}
		compareTranslation(t, english, page)
	}
	if found < 8 {
		t.Errorf("only %d translations found", found)
	}
}

func compareTranslation(t *testing.T, english, page *Page) {
	t.Helper()
	want, got := fencedBlock.FindAllString(english.Text, -1), fencedBlock.FindAllString(page.Text, -1)
	for i := range min(len(want), len(got)) {
		if want[i] != got[i] {
			t.Errorf("%s: block %d differs. Copy it from %s:\n%s", page.Path, i+1, english.Path, want[i])
		}
	}
	if len(want) != len(got) {
		t.Errorf("%s has %d blocks. Write the %d blocks of %s, in the same order.", page.Path, len(got), len(want), english.Path)
	}
	if want, got := headingLevels(english), headingLevels(page); !slices.Equal(want, got) {
		t.Errorf("%s has headings %v. Write those of %s, in the same order: %v", page.Path, got, english.Path, want)
	}
	wantCode, gotCode := inlineCode(english), inlineCode(page)
	for code := range wantCode {
		if !gotCode[code] {
			t.Errorf("%s lacks `%s`, which %s names.", page.Path, code, english.Path)
		}
	}
	for code := range gotCode {
		if !wantCode[code] {
			t.Errorf("%s names `%s`, which is not in %s.", page.Path, code, english.Path)
		}
	}
}

// headingLevels returns the signs of the headings outside of blocks, such as "##".
func headingLevels(page *Page) []string {
	return submatches(fencedBlock.ReplaceAllString(page.Text, ""), `(?m)^(#+) `)
}

// inlineCode returns the inline code of a page, without its line breaks.
func inlineCode(page *Page) map[string]bool {
	all := map[string]bool{}
	for _, code := range page.Code {
		all[strings.Join(strings.Fields(code), " ")] = true
	}
	return all
}
