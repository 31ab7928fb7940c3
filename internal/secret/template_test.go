// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package secret_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"text/template"
	"time"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/credentials"
	"github.com/stscredential/sts-credential-operator/internal/secret"
)

// templated is what one template makes of a session.
func templated(text string, s credentials.Credentials) (string, error) {
	c := credential()
	c.Spec.Secret.Formats = []v1alpha1.SecretFormat{v1alpha1.FormatOSS}
	c.Spec.Secret.Template.Data = map[string]v1alpha1.TemplateText{"key": v1alpha1.TemplateText(text)}
	l, err := secret.NewLayout(c.Spec.Secret, "cn-shanghai")
	if err != nil {
		return "", err
	}
	out, err := secret.Render(c, l, s, secret.Request{Request: input}, secret.WriteOptions{})
	if err != nil {
		return "", err
	}
	return string(out.Data["key"]), nil
}

func TestTemplates(t *testing.T) {
	quoting := session
	quoting.AccessKeySecret = "a\"b\\c/d+e=\n"
	for _, tt := range []struct{ name, given, want string }{
		{"nothing", "", ""},
		{"text", "plain } text\n", "plain } text\n"},
		{"every field", "{{.AccessKeyID}} {{.AccessKeySecret}} {{.SecurityToken}} {{.Expiration}} {{.RoleARN}} {{.Region}}",
			"STS.NExample a\"b\\c/d+e=\n token 2026-01-01T13:00:00Z acs:ram::1234567890123456:role/orders-reader cn-shanghai"},
		{"base64", "{{ .AccessKeySecret | b64enc }}", "YSJiXGMvZCtlPQo="},
		{"JSON", "{{ .AccessKeySecret | toJson }}", `"a\"b\\c/d+e=\n"`},
		{"quotes", "{{ .AccessKeySecret | quote }}", `"a\"b\\c/d+e=\n"`},
		{"in a URL", "{{ .AccessKeySecret | urlquery }}", "a%22b%5Cc%2Fd%2Be%3D%0A"},
		{"one function after another", "{{ .AccessKeySecret | toJson | b64enc }}", "ImFcImJcXGMvZCtlPVxuIg=="},
		{"the function first", "{{ toJson .AccessKeySecret | b64enc }}", "ImFcImJcXGMvZCtlPVxuIg=="},
		{"four functions", "{{ .Region | quote | quote | quote | urlquery }}", "%22%5C%22%5C%5C%5C%22cn-shanghai%5C%5C%5C%22%5C%22%22"},
		{"blanks trimmed", "a {{- .Region -}} b", "acn-shanghaib"},
		{"a comment", "a{{/* b */}}c", "ac"},
	} {
		got, err := templated(tt.given, quoting)
		if err != nil || got != tt.want {
			t.Errorf("%s: got %q, %v, want %q", tt.name, got, err, tt.want)
		}
	}
}

func TestTemplatesRefused(t *testing.T) {
	const syntax = "write text and fields such as {{ .SecurityToken | toJson }} only; the fields are .AccessKeyID, .AccessKeySecret, " +
		".SecurityToken, .Expiration, .RoleARN, .Region, the functions b64enc, toJson, quote and urlquery, at most 4 after a field"
	for _, tt := range []struct{ name, given, want string }{
		{"no end", "{{ .Region ", "line 1: " + syntax},
		{"the line is reported", "a\nb\n{{ .Region | printf }}", "line 3: " + syntax},
		{"the line of a node is reported", "a\n\n\n{{ .Nothing }}", "line 4: " + syntax},
		{"a loop", "{{range .Region}}x{{end}}", "line 1: " + syntax},
		{"a loop of numbers", "{{range 1000000000}}x{{end}}", "line 1: " + syntax},
		{"a branch", "{{if .Region}}x{{end}}", "line 1: " + syntax},
		{"with", "{{with .Region}}{{.}}{{end}}", "line 1: " + syntax},
		{"a definition", `{{define "a"}}x{{end}}`, "defines another template. Write its text where it is used"},
		{"a definition of itself", `{{define ""}}x{{end}}`, "defines another template"},
		{"a call of a definition", `{{define "a"}}x{{end}}{{template "a"}}`, "defines another template"},
		{"a call of itself", `{{template ""}}`, "line 1: " + syntax},
		{"a block", `{{block "a" .}}x{{end}}`, "defines another template"},
		{"a variable", "{{$a := .Region}}", "line 1: " + syntax},
		{"a variable's use", "{{$a := .Region}}{{$a}}", "line 1: " + syntax},
		{"the dollar", "{{$.Region}}", "line 1: " + syntax},
		{"the dot", "{{.}}", "line 1: " + syntax},
		{"an unknown field", "{{.Token}}", "line 1: " + syntax},
		{"a field of a field", "{{.Region.Name}}", "line 1: " + syntax},
		{"a string", `{{"x"}}`, "line 1: " + syntax},
		{"a number", `{{1}}`, "line 1: " + syntax},
		{"a string to a function", `{{"x" | b64enc}}`, "line 1: " + syntax},
		{"a function alone", `{{b64enc}}`, "line 1: " + syntax},
		{"a function without a field", `{{.Region | b64enc .Region}}`, "line 1: " + syntax},
		{"two fields", `{{b64enc .Region .Region}}`, "line 1: " + syntax},
		{"in parentheses", `{{(.Region)}}`, "line 1: " + syntax},
		{"a field as a function", `{{.Region | .Region}}`, "line 1: " + syntax},
		{"printf", `{{printf "%1000000000d" 1}}`, "line 1: " + syntax},
		{"html", `{{.Region | html}}`, "line 1: " + syntax},
		{"js", `{{.Region | js}}`, "line 1: " + syntax},
		{"len", `{{len .Region}}`, "line 1: " + syntax},
		{"index", `{{index .Region 0}}`, "line 1: " + syntax},
		{"slice", `{{slice .Region 1}}`, "line 1: " + syntax},
		{"call", `{{call .Region}}`, "line 1: " + syntax},
		{"break", `{{break}}`, "line 1: " + syntax},
		{"five functions", `{{.Region|quote|quote|quote|quote|quote}}`, "line 1: " + syntax},
		{"four functions and one before", `{{quote .Region|quote|quote|quote|quote}}`, "line 1: " + syntax},
	} {
		_, err := templated(tt.given, session)
		if err == nil || !strings.HasPrefix(err.Error(), "spec.secret.template.data[key]: "+tt.want) {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
		}
	}
}

// FuzzTemplate: any template ends, makes no more than it may, says nothing of what it was given, and makes what Go's own
// text/template would.
func FuzzTemplate(f *testing.F) {
	for _, seed := range []string{
		"", "text", "{{.SecurityToken}}", "{{ .AccessKeySecret | toJson | b64enc }}", "a {{- .Region -}} {{/* c */}}", "{{quote .RoleARN}}",
		`{{define "x"}}{{end}}`, `{{template "x"}}`, "{{range 9}}{{end}}", "{{$a := 1}}", `{{printf "%d" 1}}`, "{{(((.Region)))}}", "{{\n.Expiration\n}}",
		"{{.Nothing}}", "{{", "}}", "{{`raw`}}", "{{'c'}}", "{{1e9}}", "{{nil}}", "{{.}}", "{{else}}", "{{- /* */ -}}",
	} {
		f.Add(seed)
	}
	s := session
	s.AccessKeySecret, s.SecurityToken = "FJ2kPq\"\\secret", "CAIS/token+="
	functions := template.FuncMap{
		"b64enc": func(s string) string { raw, _ := json.Marshal([]byte(s)); return strings.Trim(string(raw), `"`) },
		"toJson": func(s string) string { raw, _ := json.Marshal(s); return string(raw) },
		"quote":  func(s string) string { return fmt.Sprintf("%q", s) },
	}
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 8192 {
			return
		}
		got, err := templated(text, s)
		if err != nil {
			if strings.Contains(err.Error(), s.AccessKeySecret) || strings.Contains(err.Error(), s.SecurityToken) || len(err.Error()) > 400 {
				t.Errorf("the error says too much: %v", err)
			}
			return
		}
		if len(got) > 256<<10 {
			t.Errorf("%d bytes", len(got))
		}
		var want bytes.Buffer
		err = template.Must(template.New("").Funcs(functions).Parse(text)).Execute(&want, map[string]string{
			"AccessKeyID": s.AccessKeyID, "AccessKeySecret": s.AccessKeySecret, "SecurityToken": s.SecurityToken,
			"Expiration": s.ExpiresAt.Format(time.RFC3339), "RoleARN": input.RoleARN, "Region": "cn-shanghai",
		})
		if err != nil || got != want.String() {
			t.Errorf("got %q, text/template makes %q, %v", got, want.String(), err)
		}
	})
}
