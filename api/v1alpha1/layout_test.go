// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1_test

import (
	"fmt"
	"strings"
	"testing"
)

func TestStsCredentialLayoutRules(t *testing.T) {
	check(t, credentialKind, role, layoutRows)
}

// everyFormat is a list of all formats.
const everyFormat = "[SDK, Tablestore, OSS, Terraform, LogService, Plain, STS, CLI, INI, External, URI]"

var layoutRows = []row{
	{"one format", "secret: {formats: [OSS]}", ""},
	{"every format", "secret: {formats: " + everyFormat + "}", ""},
	{"a format twice", "secret: {formats: [SDK, OSS, SDK]}", "spec.secret.formats[2]: Duplicate value"},
	{"an unknown format", "secret: {formats: [AWS]}", "spec.secret.formats[0]: Unsupported value"},
	{"a format in small letters", "secret: {formats: [sdk]}", "spec.secret.formats[0]: Unsupported value"},
	{"more than there are", "secret: {formats: [SDK" + times(11, ", OSS") + "]}", "spec.secret.formats: Too many"},
	{"no format", "secret: {formats: []}", "spec.secret.formats: writes nothing by itself. Name a format such as SDK, leave formats out, or set template.data"},
	{"no format and an empty template", "secret: {formats: [], template: {}}", "spec.secret.formats: writes nothing by itself"},
	{"no format and a template of nothing", "secret: {formats: [], template: {data: {}}}", "spec.secret.formats: writes nothing by itself"},
	{"no format and a template", "secret: {formats: [], template: {data: {token: '{{ .SecurityToken }}'}}}", ""},
	{"a template beside the default", "secret: {template: {data: {token: '{{ .SecurityToken }}'}}}", ""},
	{"an empty template", "secret: {template: {data: {token: ''}}}", ""},
	{"32 templates", "secret: {template: {data: " + numbered(32) + "}}", ""},
	{"33 templates", "secret: {template: {data: " + numbered(33) + "}}", "spec.secret.template.data: Too many"},
	{"a template of 8192 bytes", "secret: {template: {data: {token: " + times(8192, "t") + "}}}", ""},
	{"a template of 8193 characters", "secret: {template: {data: {token: " + times(8193, "t") + "}}}", "spec.secret.template.data.token: Too long"},
	{"a template of 8193 bytes", "secret: {template: {data: {token: " + times(2731, "☕") + "}}}", "spec.secret.template.data: must be at most 8192 bytes in all"},
	{"two templates of 8192 bytes", templatesOf(2, 1, 4096), ""},
	{"two templates of 8194 bytes", templatesOf(2, 1, 4097), "spec.secret.template.data: shorten the templates, or put what never changes into a ConfigMap"},
	templateKey("a variable's name", "ACCESS_KEY_ID", ""),
	templateKey("a file's name", ".aliyun-config.json", ""),
	templateKey("a key of 253", times(253, "k"), ""),
	templateKey("a key of 254", times(254, "k"), "up to 253 letters, digits, '-', '_' and '.'"),
	templateKey("an empty key", "", "a key must be a key of a Secret"),
	templateKey("a key with a slash", "a/b", "a key must be a key of a Secret"),
	templateKey("a key with a comma", "a,b", "a key must be a key of a Secret"),
	templateKey("a key with a newline", `a\n`, "a key must be a key of a Secret"),
	templateKey("a dot", ".", "not '.' alone and not starting with '..'"),
	templateKey("two dots", "..", "not '.' alone and not starting with '..'"),
	templateKey("two dots and a name", "..data", "not '.' alone and not starting with '..'"),
}

func templateKey(name, key, want string) row {
	if want != "" {
		want = "spec.secret.template.data: " + want
	}
	return row{name, `secret: {template: {data: {"` + key + `": v}}}`, want}
}

// templatesOf is a secret with templates whose keys and texts are that long.
func templatesOf(n, key, text int) string {
	entries := make([]string, n)
	for i := range entries {
		entries[i] = fmt.Sprintf("%s%s: %s", times(key-1, "k"), string("abcdefghijklmnopqrstuvwxyzABCDEFG"[i]), times(text, "t"))
	}
	return "secret: {template: {data: {" + strings.Join(entries, ", ") + "}}}"
}
