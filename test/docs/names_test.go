// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// othersFlags are flags of other programs that the text names.
var othersFlags = []string{
	"--api-audiences", "--service-account-issuer", "--set", "--skip-tests", "--previous", "--track-consumers", "--rollouts",
	"--dir", "--listen", "--token", "--allow-non-loopback", "--runtime-config", "--generate", // of the agent, the API server and the plugin
}

// pluginPages describe the kubectl plugin, whose flags the reference lists.
var pluginPages = []string{"docs/kubectl-plugin.md", "docs/kubectl-plugin-reference.md"}

// The manager's flags are those of the table in docs/configuration.md, and the text names no others but those of the plugin on
// its pages.
func TestFlags(t *testing.T) {
	help, err := exec.CommandContext(t.Context(), manager(t), "--help").CombinedOutput()
	must(t, err)
	flags := submatches(string(help), `(?m)^  -([a-z][a-z-]+)`)
	if len(flags) < 20 {
		t.Fatalf("only %d flags found: %s", len(flags), help)
	}
	wantSame(t, "docs/configuration.md", "flag", flags, rows(t, "docs/configuration.md", "", `--([a-z][a-z-]+)`))
	ofPlugin := append(rows(t, "docs/kubectl-plugin-reference.md", "", "`--([a-z][a-z-]+)`"), "as", "server", "help")
	for _, page := range pages(t) {
		for _, code := range page.Code {
			m := regexp.MustCompile(`^--([a-z][a-z-]+)`).FindStringSubmatch(code)
			if m != nil && slices.Contains(pluginPages, page.Path) && slices.Contains(ofPlugin, m[1]) {
				continue
			}
			if m != nil && !slices.Contains(flags, m[1]) && !slices.Contains(othersFlags, m[0]) {
				t.Errorf("%s names %s, which is no flag of the manager", page.Path, m[0])
			}
		}
	}
}

// Every condition and every reason of the API has a row in docs/troubleshooting.md, and there are no others.
func TestConditionsAndReasons(t *testing.T) {
	for heading, prefix := range map[string]string{"Conditions": "Condition", "Reasons": "Reason"} {
		wantSame(t, "docs/troubleshooting.md", "name", constants(t, "api/v1alpha1/conditions.go", prefix),
			rows(t, "docs/troubleshooting.md", heading, "`([A-Z][A-Za-z]+)`"))
	}
}

// Every error code that internal/sts distinguishes has a row with what STS says, and there are no others.
func TestErrorCodes(t *testing.T) {
	documented := rows(t, "docs/troubleshooting.md", "STS error codes", "[ ,]`([A-Z][A-Za-z.]+\\*?)`")
	rules := firstFields(t, "internal/sts/codes.go", "errorClasses")
	var known []string
	for _, code := range documented {
		if slices.ContainsFunc(rules, func(rule string) bool { return covers(rule, code) }) {
			known = append(known, code)
		}
	}
	wantSame(t, "docs/troubleshooting.md", "error code", append(known, rules...), documented)
	page, err := Read(repository(t), "docs/troubleshooting.md")
	must(t, err)
	for code, text := range emulatedErrors(t) {
		if slices.ContainsFunc(rules, func(rule string) bool { return covers(rule, code) }) && !strings.Contains(page.Text, "| "+text+" |") {
			t.Errorf("docs/troubleshooting.md lacks what STS says with %s: %s", code, text)
		}
	}
	for _, question := range []string{ // of Alibaba Cloud's own documents
		"You are not authorized to do this action. You should be authorized by RAM.",
		"The Min/Max value of DurationSeconds is 15min/1hr.", "The security token you provided is invalid.",
	} {
		if !strings.Contains(page.Text, "\n### "+question) {
			t.Errorf("docs/troubleshooting.md does not answer: %s", question)
		}
	}
}

// covers reports whether a rule of internal/sts is about a code.
func covers(rule, code string) bool {
	prefix, any := strings.CutSuffix(rule, "*")
	return rule == code || any && strings.HasPrefix(code, prefix)
}

// emulatedErrors are the codes that the emulator knows, with what STS says.
func emulatedErrors(t *testing.T) map[string]string {
	t.Helper()
	said := map[string]string{}
	ast.Inspect(parse(t, "test/stsemulator/errors.go"), func(n ast.Node) bool {
		entry, ok := n.(*ast.KeyValueExpr)
		if !ok {
			return true
		}
		key, isText := entry.Key.(*ast.BasicLit)
		value, hasText := entry.Value.(*ast.BasicLit)
		if isText && hasText && key.Kind == token.STRING && value.Kind == token.STRING {
			said[unquote(t, key)] = unquote(t, value)
		}
		return true
	})
	if len(said) < 25 {
		t.Fatalf("only %d errors found in the emulator", len(said))
	}
	return said
}

// Metrics that the docs name exist, and every metric of the code is described in docs/monitoring.md.
func TestMetrics(t *testing.T) {
	names := regexp.MustCompile(`\bstscredential_[a-z_]+[a-z]\b`)
	var code, documented []string
	files, err := filepath.Glob(filepath.Join(repository(t), "controllers", "*", "*.go"))
	must(t, err)
	more, err := filepath.Glob(filepath.Join(repository(t), "internal", "metrics", "*.go"))
	must(t, err)
	files = append(files, more...)
	for _, file := range files {
		content, err := os.ReadFile(file)
		must(t, err)
		if !strings.HasSuffix(file, "_test.go") {
			code = append(code, names.FindAllString(string(content), -1)...)
		}
	}
	for _, page := range pages(t) {
		text := strings.ReplaceAll(page.Text, "stscredential_controller.go", "") // a file
		for _, name := range names.FindAllString(text, -1) {
			documented = append(documented, regexp.MustCompile(`_(bucket|sum|count)$`).ReplaceAllString(name, ""))
		}
	}
	wantSame(t, "docs/monitoring.md", "metric", code, documented)
}

// Make targets that the text names exist, and commands that are more than a name stand in blocks, where they are run.
func TestInlineCommands(t *testing.T) {
	makefile, err := os.ReadFile(filepath.Join(repository(t), "Makefile"))
	must(t, err)
	for _, page := range pages(t) {
		for _, code := range page.Code {
			words := strings.Fields(code)
			switch {
			case len(words) < 2:
			case words[0] == "make" && !strings.Contains(string(makefile), "\n"+words[1]+":"):
				t.Errorf("%s: there is no target: %s", page.Path, code)
			case slices.Contains([]string{"kubectl", "helm", "aliyun", "docker"}, words[0]) && len(words) > 3:
				t.Errorf("%s: `%s` is not run: write it as a block", page.Path, code)
			}
		}
	}
}

// rows are what the first cells of tables name, each as often as the pattern is found in the cell: of the tables under a
// heading of the second level, or of all.
func rows(t *testing.T, path, heading, pattern string) (all []string) {
	t.Helper()
	page, err := Read(repository(t), path)
	must(t, err)
	text := page.Text
	if heading != "" {
		_, text, _ = strings.Cut(text, "\n## "+heading+"\n")
		text, _, _ = strings.Cut(text, "\n## ")
	}
	for _, cell := range submatches(text, `(?m)^\|([^|]*)\|`) {
		all = append(all, submatches(cell, pattern)...)
	}
	if len(all) == 0 {
		t.Errorf("%s has no table under %q", path, heading)
	}
	return all
}

// constants are the values of a file's constants whose names begin so.
func constants(t *testing.T, file string, prefixes ...string) (values []string) {
	t.Helper()
	for _, declaration := range parse(t, file).Decls {
		general, ok := declaration.(*ast.GenDecl)
		if !ok || general.Tok != token.CONST {
			continue
		}
		for _, spec := range general.Specs {
			value := spec.(*ast.ValueSpec)
			if slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(value.Names[0].Name, p) }) {
				values = append(values, unquote(t, value.Values[0]))
			}
		}
	}
	return values
}

// firstFields are the first fields of the structs in a variable that is a slice of them.
func firstFields(t *testing.T, file, variable string) (values []string) {
	t.Helper()
	ast.Inspect(parse(t, file), func(n ast.Node) bool {
		value, ok := n.(*ast.ValueSpec)
		if !ok || value.Names[0].Name != variable {
			return true
		}
		for _, row := range value.Values[0].(*ast.CompositeLit).Elts {
			values = append(values, unquote(t, row.(*ast.CompositeLit).Elts[0]))
		}
		return false
	})
	return values
}

func parse(t *testing.T, file string) *ast.File {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), filepath.Join(repository(t), filepath.FromSlash(file)), nil, parser.SkipObjectResolution)
	must(t, err)
	return parsed
}

func unquote(t *testing.T, literal ast.Expr) string {
	t.Helper()
	value, err := strconv.Unquote(literal.(*ast.BasicLit).Value)
	must(t, err)
	return value
}

func submatches(text, pattern string) (all []string) {
	for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
		all = append(all, m[1])
	}
	return all
}

// wantSame insists that code and docs name the same.
func wantSame(t *testing.T, page, what string, code, docs []string) {
	t.Helper()
	for _, name := range code {
		if !slices.Contains(docs, name) {
			t.Errorf("%s does not mention the %s %s", page, what, name)
		}
	}
	for _, name := range docs {
		if !slices.Contains(code, name) {
			t.Errorf("%s mentions the %s %s, which does not exist", page, what, name)
		}
	}
}
