// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package secret_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/credentials"
	"github.com/stscredential/sts-credential-operator/internal/secret"
)

var allFormats = []v1alpha1.SecretFormat{
	v1alpha1.FormatSDK, v1alpha1.FormatTablestore, v1alpha1.FormatOSS, v1alpha1.FormatTerraform, v1alpha1.FormatLogService,
	v1alpha1.FormatPlain, v1alpha1.FormatSTS, v1alpha1.FormatCLI, v1alpha1.FormatINI, v1alpha1.FormatExternal, v1alpha1.FormatURI,
}

func layout(t *testing.T, spec v1alpha1.SecretSpec) secret.Layout {
	t.Helper()
	l, err := secret.NewLayout(spec, "cn-shanghai")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// written is the Secret of a credential with these formats and templates.
func written(formats []v1alpha1.SecretFormat, templates map[string]v1alpha1.TemplateText) *corev1.Secret {
	c := credential()
	c.Spec.Secret.Formats, c.Spec.Secret.Template.Data = formats, templates
	return render(c, session, secret.Request{Request: input}, "")
}

// What each format writes, byte for byte: programs read it.
func TestFormatsGolden(t *testing.T) {
	for _, format := range allFormats {
		s := written([]v1alpha1.SecretFormat{format}, nil)
		readable := corev1.Secret{StringData: map[string]string{}}
		for k, v := range s.Data {
			readable.StringData[k] = string(v)
		}
		sameAsGolden(t, "format-"+strings.ToLower(string(format))+".yaml", &readable)
	}
}

// All formats can be chosen together: no two write one key.
func TestFormatsShareNoKey(t *testing.T) {
	sum := 0
	for _, format := range allFormats {
		sum += len(written([]v1alpha1.SecretFormat{format}, nil).Data)
	}
	if together := written(allFormats, nil); len(together.Data) != sum || sum != 5*3+2*4+4 {
		t.Errorf("%d keys together, %d one by one", len(together.Data), sum)
	}
}

// A Secret with as many and as long keys as the API admits is read back as it was written.
func TestLargestLayoutReadBack(t *testing.T) {
	templates := map[string]v1alpha1.TemplateText{}
	for i := range 32 {
		templates[strings.Repeat("k", 251)+string(rune('A'+i/16))+string(rune('a'+i%16))] = "{{.SecurityToken}}"
	}
	s := written(allFormats, templates)
	record, intact := secret.Read(stripped(t, s))
	if record == nil || !intact || len(s.Data) != 27+32 {
		t.Errorf("record %v, intact %v, %d keys", record, intact, len(s.Data))
	}
}

// Frozen, as TestRequestHashGolden says.
func TestLayoutHashGolden(t *testing.T) {
	const byDefault = "v1:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
	templates := map[string]v1alpha1.TemplateText{"token": "{{ .SecurityToken }}"}
	whole := map[string]v1alpha1.TemplateText{"all": "{{ .AccessKeyID }} {{ .AccessKeySecret }} {{ .SecurityToken }}"}
	for _, tt := range []struct {
		name  string
		given v1alpha1.SecretSpec
		want  string
	}{
		{"the default", v1alpha1.SecretSpec{}, byDefault},
		{"the default, written out", v1alpha1.SecretSpec{Formats: []v1alpha1.SecretFormat{"SDK"}}, byDefault},
		{"another format", v1alpha1.SecretSpec{Formats: []v1alpha1.SecretFormat{"OSS"}}, "v1:7f281bf92296a688cf78ba3d09bd1af742d0af664747d054a829bef8ccf07e0f"},
		{"two formats", v1alpha1.SecretSpec{Formats: []v1alpha1.SecretFormat{"SDK", "OSS"}}, "v1:180ee6c50e12d9ac72b9e8c17c00244c3bcd3f0158e5d297c654c5fc5fa3f4fe"},
		{"a format with the region", v1alpha1.SecretSpec{Formats: []v1alpha1.SecretFormat{"CLI"}}, "v1:fabe31e1d85ffb538dfaefa138c2af79183a3557ce8faa90078fcd33592e7525"},
		{"the agent's format", v1alpha1.SecretSpec{Formats: []v1alpha1.SecretFormat{"URI"}}, "v1:868332bf586f5a9cf1ea7bd606be5e1f236f550b5b8ef7bf900a03279dbdd3e0"},
		{"the format of AssumeRole's answer", v1alpha1.SecretSpec{Formats: []v1alpha1.SecretFormat{"STS"}}, "v1:2971cd8780d317abec019c89d59ea1d727f1b3a4ffc0f57f8d382a56c1634969"},
		{"a template beside the default", v1alpha1.SecretSpec{Template: v1alpha1.SecretTemplate{Data: templates}}, "v1:e29f54ca92ad18ac9b7ca26ceeaf051362ae5b1609a4e6d117ab6c5854dbe55c"},
		{"a template alone", v1alpha1.SecretSpec{Formats: []v1alpha1.SecretFormat{}, Template: v1alpha1.SecretTemplate{Data: whole}}, "v1:06a792f81265a614c66ae81b2c985bcc3052aeb8211860691fb1081d0f6a076a"},
	} {
		s := written(tt.given.Formats, tt.given.Template.Data)
		if got := s.Annotations["sts.alibabacloud.com/layout-hash"]; got != tt.want {
			t.Errorf("%s: layout-hash = %s, want %s", tt.name, got, tt.want)
		}
	}
}

func TestLayoutChanged(t *testing.T) {
	const whole = "{{ .AccessKeyID }} {{ .AccessKeySecret }} {{ .SecurityToken }}"
	type formats = []v1alpha1.SecretFormat
	templates := func(text v1alpha1.TemplateText) v1alpha1.SecretTemplate {
		return v1alpha1.SecretTemplate{Data: map[string]v1alpha1.TemplateText{"key": text}}
	}
	for _, tt := range []struct {
		name        string
		before, now v1alpha1.SecretSpec
		region      string
		want        bool
	}{
		{"the same", v1alpha1.SecretSpec{Formats: formats{"OSS", "CLI"}}, v1alpha1.SecretSpec{Formats: formats{"OSS", "CLI"}}, "cn-shanghai", false},
		{"in another order", v1alpha1.SecretSpec{Formats: formats{"OSS", "CLI"}}, v1alpha1.SecretSpec{Formats: formats{"CLI", "OSS"}}, "cn-shanghai", false},
		{"a format more", v1alpha1.SecretSpec{}, v1alpha1.SecretSpec{Formats: formats{"SDK", "OSS"}}, "cn-shanghai", true},
		{"another template", v1alpha1.SecretSpec{Template: templates("a")}, v1alpha1.SecretSpec{Template: templates("b")}, "cn-shanghai", true},
		{"the default no longer", v1alpha1.SecretSpec{Template: templates(whole)}, v1alpha1.SecretSpec{Template: templates(whole), Formats: formats{}}, "cn-shanghai", true},
		{"another region, unused", v1alpha1.SecretSpec{Template: templates("a")}, v1alpha1.SecretSpec{Template: templates("a")}, "cn-beijing", false},
		{"another region in the CLI's file", v1alpha1.SecretSpec{Formats: formats{"CLI"}}, v1alpha1.SecretSpec{Formats: formats{"CLI"}}, "cn-beijing", true},
		{"another region in a template", v1alpha1.SecretSpec{Template: templates("{{.Region}}")}, v1alpha1.SecretSpec{Template: templates("{{.Region}}")}, "cn-beijing", true},
		{"other labels", v1alpha1.SecretSpec{}, v1alpha1.SecretSpec{Labels: map[string]v1alpha1.LabelValue{"a": "b"}}, "cn-shanghai", false},
	} {
		record, _ := secret.Read(stripped(t, written(tt.before.Formats, tt.before.Template.Data)))
		now, err := secret.NewLayout(tt.now, tt.region)
		if err != nil {
			t.Fatal(err)
		}
		if got := record.LayoutChanged(now); got != tt.want {
			t.Errorf("%s: LayoutChanged = %v", tt.name, got)
		}
	}
}

// Whatever the layout was and becomes, our keys follow it and those of others stay.
func TestLayoutChangePatch(t *testing.T) {
	seen := written([]v1alpha1.SecretFormat{"SDK", "CLI"}, map[string]v1alpha1.TemplateText{"mine": "{{.AccessKeyID}}", "theirs": "{{.RoleARN}}"})
	seen.ResourceVersion = "42"
	seen.Data["other"], seen.Data["taken"] = []byte("x"), []byte("x")
	want := written([]v1alpha1.SecretFormat{"External"}, map[string]v1alpha1.TemplateText{"mine": "{{.Expiration}}", "taken": "ours"})
	got := apply(t, seen, secret.Patch(stripped(t, seen), want))
	if keys := slices.Sorted(maps.Keys(got.Data)); !slices.Equal(keys, []string{"external.json", "mine", "other", "taken"}) {
		t.Errorf("keys = %v", keys)
	}
	if string(got.Data["other"]) != "x" || string(got.Data["taken"]) != "ours" || string(got.Data["mine"]) != "2026-01-01T13:00:00Z" {
		t.Errorf("data = %q", got.Data)
	}
	if _, intact := secret.Read(stripped(t, got)); !intact {
		t.Error("the patched Secret is not intact")
	}
}

func TestLayoutRefused(t *testing.T) {
	type formats = []v1alpha1.SecretFormat
	for _, tt := range []struct {
		name    string
		formats formats
		key     string
		text    v1alpha1.TemplateText
		want    string // "" if it is taken
	}{
		{"a key of the default format", nil, "ALIBABA_CLOUD_SECURITY_TOKEN", "x", "data[ALIBABA_CLOUD_SECURITY_TOKEN]: format SDK writes this key"},
		{"a key of a format that is chosen", formats{"OSS", "External"}, "external.json", "x", "data[external.json]: format External writes this key. Rename yours, or leave the format out"},
		{"a key of a format that is not", formats{"OSS"}, "external.json", "x", ""},
		{"a format of tomorrow", formats{"Tomorrow"}, "", "", "spec.secret.formats: format Tomorrow is unknown"},
		{"a template that Helm has rendered away", formats{}, "AK", "", "no template uses .AccessKeyID, .AccessKeySecret, .SecurityToken. Helm renders {{ }} away unless it is escaped: write {{ `{{ .AccessKeyID }}` }}"},
		{"a template without the token", formats{}, "AK", "{{ .AccessKeyID }}:{{ .AccessKeySecret | toJson }}", "no template uses .SecurityToken. Helm"},
		{"a template of all three", formats{}, "AK", "{{ .AccessKeyID }}:{{ .AccessKeySecret | toJson }}:{{ .SecurityToken }}", ""},
		{"an empty template beside a format", formats{"OSS"}, "AK", "", ""},
		{"nothing", formats{}, "", "", "spec.secret.formats: [] writes nothing by itself. Name a format, or set template.data"},
		{"a template that cannot be read", nil, "a.b", "{{", "spec.secret.template.data[a.b]: line 1: write text and fields"},
		{"more than a Secret holds", nil, "a", v1alpha1.TemplateText(strings.Repeat("{{.SecurityToken|b64enc|b64enc}}", 200)), "data[a]: the output is too long. All templates together may write 256 KiB"},
	} {
		spec := v1alpha1.SecretSpec{Formats: tt.formats, Template: v1alpha1.SecretTemplate{Data: map[string]v1alpha1.TemplateText{}}}
		if tt.key != "" {
			spec.Template.Data[tt.key] = tt.text
		}
		_, err := secret.NewLayout(spec, "")
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
		}
	}
}

// All templates share one bound, and a session that is longer than any that was seen meets it when it is written.
func TestTemplatesShareABound(t *testing.T) {
	half := v1alpha1.TemplateText(strings.Repeat("{{.SecurityToken}}", 140))
	c := credential()
	c.Spec.Secret.Template.Data = map[string]v1alpha1.TemplateText{"a": half}
	one := layout(t, c.Spec.Secret)
	long := credentials.Credentials{SecurityToken: strings.Repeat("x", 4096)}
	if _, err := secret.Render(c, one, long, secret.Request{}, secret.WriteOptions{}); err == nil || !strings.Contains(err.Error(), "data[a]: the output is too long") {
		t.Errorf("Render of a long session = %v", err)
	}
	c.Spec.Secret.Template.Data["b"] = half
	if _, err := secret.NewLayout(c.Spec.Secret, ""); err == nil || !strings.Contains(err.Error(), "data[b]: the output is too long") {
		t.Errorf("NewLayout = %v", err)
	}
}
