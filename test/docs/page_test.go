// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

const sample = `# A page, and "its" anchors

Text with ` + "`--a-flag`" + ` and [a link](other.md#part), ![a picture](a.png), https://example.com.

<!-- before:
kubectl create namespace shop
-->

<!-- before in e2e: kubectl create namespace web -->

<!-- run: cluster -->
` + "```console\n$ true\n```" + `

1. In a list:

   <!-- not run: because -->
   ` + "```sh\n   false\n   ```" + `

2. With a command:

   <!-- run: cluster: kubectl patch x -->
   ` + "```yaml\n   a: 1\n   ```" + `

## Same ` + "`code`" + `

` + "```text\nno marker\n```\n"

func TestRead(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "page.md"), []byte(sample), 0o600); err != nil {
		t.Fatal(err)
	}
	page, err := Read(dir, "page.md")
	if err != nil {
		t.Fatal(err)
	}
	want := []Block{
		{Page: "page.md", Line: 5, Language: "sh", Text: "\nkubectl create namespace shop", Run: "cluster"},
		{Page: "page.md", Line: 9, Language: "sh", Text: " kubectl create namespace web", Run: "e2e"},
		{Page: "page.md", Line: 13, Language: "console", Text: "$ true\n", Run: "cluster"},
		{Page: "page.md", Line: 20, Language: "sh", Text: "false\n", NotRun: "because"},
		{Page: "page.md", Line: 27, Language: "yaml", Text: "a: 1\n", Run: "cluster", Command: "kubectl patch x"},
		{Page: "page.md", Line: 33, Language: "text", Text: "no marker\n"},
	}
	if !reflect.DeepEqual(page.Blocks, want) {
		t.Errorf("blocks\n%+v, want\n%+v", page.Blocks, want)
	}
	if want := []string{"other.md#part", "a.png", "https://example.com"}; !reflect.DeepEqual(page.Links, want) {
		t.Errorf("links %q, want %q", page.Links, want)
	}
	if want := map[string]bool{"a-page-and-its-anchors": true, "same-code": true}; !reflect.DeepEqual(page.Anchors, want) {
		t.Errorf("anchors %v, want %v", page.Anchors, want)
	}
	if want := []string{"--a-flag", "code"}; !reflect.DeepEqual(page.Code, want) {
		t.Errorf("code %q, want %q", page.Code, want)
	}
}

func TestShows(t *testing.T) {
	for name, tt := range map[string]struct {
		output string
		want   string
		shows  bool
	}{
		"the same":          {"a  b\n", "a b", true},
		"another":           {"a c\n", "a b", false},
		"more":              {"a b\nc\n", "a b", false},
		"less":              {"a\n", "a\nb", false},
		"nothing":           {"", "a", false},
		"any rest":          {"a 1 2 3\n", "a …", true},
		"not another line":  {"a 1\nb\n", "a …", false},
		"any lines":         {"a\nb\nc\nd\n", "a\n…\nd", true},
		"any lines, ending": {"a\nb\n", "a\n…", true},
		"any lines, none":   {"a\nd\n", "a\n…\nd", true},
		"a time":            {"at 2026-11-22T10:00:00Z\n", "at 2026-01-01T13:00:00Z", true},
		"no time":           {"at <invalid>\n", "at 2026-01-01T13:00:00Z", false},
		"an age":            {"x 2m3s\n", "x 5s", true},
		"an ID":             {"r 5C0E1D7B-0000-4000-8000-000000000001.\n", "r 3462D6AF-4434-4690-8CAD-E54A00000000.", true},
		"an AccessKey":      {"STS.NUabc1\n", "STS.NTxyz", true},
		"another key":       {"LTAIabc1\n", "STS.NTxyz", false},
		"signs of patterns": {"a.b (c)*\n", "a.b (c)*", true},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Shows(tt.output, strings.Split(tt.want, "\n")); got != tt.shows {
				t.Errorf("%t", got)
			}
		})
	}
}

func TestRun(t *testing.T) {
	s := Shell{Dir: t.TempDir(), Env: os.Environ()}
	for name, tt := range map[string]struct {
		block Block
		fails string
	}{
		"a script":            {Block{Language: "sh", Text: "cd /\ntest -d tmp\n"}, ""},
		"a script that fails": {Block{Language: "sh", Text: "false\ntrue\n"}, "exit status 1"},
		"a pipe that fails":   {Block{Language: "sh", Text: "false | cat\n"}, "exit status 1"},
		"commands":            {Block{Language: "console", Text: "$ echo a \\\n  b\na b\n$ true\n"}, ""},
		"other output":        {Block{Language: "console", Text: "$ echo a\nb\n"}, "prints\na"},
		"output of nothing":   {Block{Language: "console", Text: "b\n"}, "no prompt before: b"},
		"a file to write":     {Block{Language: "yaml", Text: "# a-b.yaml\nx: 1\n"}, ""},
		"input of a command":  {Block{Language: "json", Text: "x\n", Command: "grep x"}, ""},
		"a wrong input":       {Block{Language: "json", Text: "y\n", Command: "grep x"}, "exit status 1"},
		"a language to read":  {Block{Language: "go", Text: "package x\n"}, `language "go" cannot be run`},
		"what a look is for":  {Block{Language: "console", Text: "$ echo x >>get; wc -l <get\n2\n"}, ""},
		"page and line":       {Block{Page: "p.md", Line: 7, Language: "sh", Text: "false"}, "p.md:7: $ false"},
	} {
		t.Run(name, func(t *testing.T) {
			err := s.Run(t.Context(), tt.block)
			if (err == nil) != (tt.fails == "") || err != nil && !strings.Contains(err.Error(), tt.fails) {
				t.Errorf("error %v, want %q", err, tt.fails)
			}
		})
	}
	if err := s.Run(t.Context(), Block{Language: "sh", Text: "grep 1 a-b.yaml"}); err != nil {
		t.Error(err)
	}
	s.Change = func(text string) string { return strings.ReplaceAll(text, "false", "true") }
	if err := s.Run(t.Context(), Block{Language: "sh", Text: "false"}); err != nil {
		t.Error(err)
	}
}
