// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package secret_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/secret"
)

// The credentials can be read back from each format alone, and from templates.
func TestCredentialsOfEveryLayout(t *testing.T) {
	for _, format := range allFormats {
		t.Run(string(format), func(t *testing.T) { mustReadBack(t, []v1alpha1.SecretFormat{format}, nil) })
	}
	for _, tc := range []struct {
		name string
		data map[string]v1alpha1.TemplateText
	}{
		{"a document", map[string]v1alpha1.TemplateText{
			"c.json": `{"id":{{ .AccessKeyID | toJson }},"secret":{{ .AccessKeySecret | toJson }},"token":{{ .SecurityToken | toJson }}}`,
		}},
		{"lines with a comment, the expiration and the region", map[string]v1alpha1.TemplateText{
			"env": "# {{ .Region }}, until {{ .Expiration }}\nID={{ .AccessKeyID }}{{/* c */}}\nSECRET={{ .AccessKeySecret | quote }}\nTOKEN={{ .SecurityToken }}\n",
		}},
		{"a key each", map[string]v1alpha1.TemplateText{
			"i": "{{ .AccessKeyID }}", "s": "{{ .AccessKeySecret | b64enc }}", "t": "t={{ .SecurityToken | urlquery | b64enc }}",
		}},
		{"twice in one line", map[string]v1alpha1.TemplateText{
			"url": "a://{{ .AccessKeyID }}:{{ .AccessKeySecret }}@{{ .AccessKeyID }}/{{ .SecurityToken | urlquery }}#{{ .RoleARN }}",
		}},
	} {
		t.Run(tc.name, func(t *testing.T) { mustReadBack(t, []v1alpha1.SecretFormat{}, tc.data) })
	}
}

func mustReadBack(t *testing.T, formats []v1alpha1.SecretFormat, templates map[string]v1alpha1.TemplateText) {
	t.Helper()
	c := credential()
	c.Spec.Secret.Formats, c.Spec.Secret.Template.Data = formats, templates
	got, err := secret.Credentials(written(formats, templates), c)
	if err != nil {
		t.Fatal(err)
	}
	if got.AccessKeyID != session.AccessKeyID || got.AccessKeySecret != session.AccessKeySecret || got.SecurityToken != session.SecurityToken {
		t.Error("other credentials were read than were written")
	}
	if !got.ExpiresAt.Equal(session.ExpiresAt) || got.RequestID != session.RequestID {
		t.Errorf("expires at %s, RequestId %s", got.ExpiresAt, got.RequestID)
	}
}

// The spec names formats that the Secret does not have yet.
func TestCredentialsOfAChangedSpec(t *testing.T) {
	c := credential()
	c.Spec.Secret.Formats = []v1alpha1.SecretFormat{v1alpha1.FormatOSS}
	c.Spec.Secret.Template.Data = map[string]v1alpha1.TemplateText{"ALIBABA_CLOUD_SECURITY_TOKEN": "{{ .AccessKeyID }}"}
	got, err := secret.Credentials(written(nil, nil), c)
	if err != nil || got.SecurityToken != session.SecurityToken {
		t.Errorf("error %v", err)
	}
}

func TestCredentialsRefused(t *testing.T) {
	for _, tc := range []struct {
		name string
		edit func(*corev1.Secret)
		want error
	}{
		{"no record", func(s *corev1.Secret) { s.Annotations = nil }, secret.ErrNotWritten},
		{"of another StsCredential", func(s *corev1.Secret) { s.Annotations[secret.CredentialAnnotation] = "shop/other" }, secret.ErrNotWritten},
		{"a copy", func(s *corev1.Secret) { s.Name = "copy" }, secret.ErrNotWritten},
		{"another AccessKey ID", func(s *corev1.Secret) { s.Data[secret.KeyAccessKeyID] = []byte("STS.other") }, secret.ErrEdited},
		{"a line break", func(s *corev1.Secret) {
			s.Data[secret.KeySecurityToken] = append(s.Data[secret.KeySecurityToken], '\n')
		}, secret.ErrEdited},
		{"formats that contradict each other", func(s *corev1.Secret) { s.Data["OSS_SESSION_TOKEN"] = []byte("other") }, secret.ErrEdited},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := written([]v1alpha1.SecretFormat{v1alpha1.FormatSDK, v1alpha1.FormatOSS}, nil)
			tc.edit(s)
			if got, err := secret.Credentials(s, credential()); !errors.Is(err, tc.want) || got.AccessKeySecret != "" {
				t.Errorf("error %v, want %v", err, tc.want)
			}
		})
	}
}

// Where fields stand side by side, any split would do: none is taken.
func TestCredentialsOfAnAmbiguousTemplate(t *testing.T) {
	templates := map[string]v1alpha1.TemplateText{"all": "{{ .AccessKeyID }}{{ .AccessKeySecret }},{{ .SecurityToken }}"}
	c := credential()
	c.Spec.Secret.Formats, c.Spec.Secret.Template.Data = []v1alpha1.SecretFormat{}, templates
	_, err := secret.Credentials(written(c.Spec.Secret.Formats, templates), c)
	if err == nil || !strings.Contains(err.Error(), "from the keys all.") {
		t.Errorf("error %v", err)
	}
}

// An operator without a region writes a configuration file without one. Its credentials can be read back, too.
func TestCLIWithoutRegion(t *testing.T) {
	c := credential()
	c.Spec.Secret.Formats = []v1alpha1.SecretFormat{v1alpha1.FormatCLI}
	l, err := secret.NewLayout(c.Spec.Secret, "")
	if err != nil {
		t.Fatal(err)
	}
	s, err := secret.Render(c, l, session, secret.Request{Request: input}, secret.WriteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	config := string(s.Data["config.json"])
	if !json.Valid([]byte(config)) || strings.Contains(config, "region_id") || !strings.Contains(config, `"output_format": "json"`) {
		t.Errorf("config.json:\n%s", config)
	}
	if got, err := secret.Credentials(s, c); err != nil || got.SecurityToken != session.SecurityToken {
		t.Errorf("error %v", err)
	}
}
