// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stscredential

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
)

func withFormats(formats ...v1alpha1.SecretFormat) func(*v1alpha1.StsCredential) {
	return func(c *v1alpha1.StsCredential) {
		c.Spec.Secret.Formats = append([]v1alpha1.SecretFormat{}, formats...)
	}
}

func withTemplate(key, text string) func(*v1alpha1.StsCredential) {
	return func(c *v1alpha1.StsCredential) {
		c.Spec.Secret.Template.Data = map[string]v1alpha1.TemplateText{key: v1alpha1.TemplateText(text)}
	}
}

// wantKeys requires the keys of a Secret.
func (env *environment) wantKeys(name string, want ...string) map[string][]byte {
	env.Helper()
	data := env.Secret(name).Data
	if got := slices.Sorted(maps.Keys(data)); !slices.Equal(got, want) {
		env.Errorf("Secret %s has the keys %v, want %v", name, got, want)
	}
	return data
}

// The Secret has the keys that the spec names, from the first write on; a change of them is one call, and the keys of
// others stay.
func TestLayoutFollowsTheSpec(t *testing.T) {
	env := newEnvironment(t)
	env.Region = "cn-beijing"
	c := env.CreateCredential("orders", withFormats(v1alpha1.FormatPlain), withTemplate("auth.json", `{"id":{{.AccessKeyID|toJson}},"region":"{{.Region}}","role":"{{.RoleARN}}"}`))
	env.reconcile(c)
	data := env.wantKeys("orders", "accessKeyId", "accessKeySecret", "auth.json", "expiration", "securityToken")
	if want := fmt.Sprintf(`{"id":%q,"region":"cn-beijing","role":%q}`, c.Status.AccessKeyID, role); string(data["auth.json"]) != want {
		t.Errorf("auth.json = %s, want %s", data["auth.json"], want)
	}
	if want := c.Status.ExpiresAt.UTC().Format("2006-01-02T15:04:05Z"); string(data["expiration"]) != want {
		t.Errorf("expiration = %s, want %s", data["expiration"], want)
	}
	env.reconcile(c)
	env.WantCalls(1)

	env.EditSecret("orders", func(s *corev1.Secret) { s.Data["other"] = []byte("x") })
	env.Edit(c, withFormats(v1alpha1.FormatOSS, v1alpha1.FormatPlain))
	env.Edit(c, withTemplate("ALIBABA_CLOUD_REGION_ID", "{{.Region}}"))
	env.reconcile(c)
	env.WantCalls(2)
	env.WantCondition(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
	env.wantKeys("orders", "ALIBABA_CLOUD_REGION_ID", "OSS_ACCESS_KEY_ID", "OSS_ACCESS_KEY_SECRET", "OSS_SESSION_TOKEN",
		"accessKeyId", "accessKeySecret", "expiration", "other", "securityToken")

	env.Edit(c, func(c *v1alpha1.StsCredential) { c.Spec.Secret = v1alpha1.SecretSpec{} })
	env.reconcile(c)
	env.wantKeys("orders", "ALIBABA_CLOUD_ACCESS_KEY_ID", "ALIBABA_CLOUD_ACCESS_KEY_SECRET", "ALIBABA_CLOUD_SECURITY_TOKEN", "other")
	env.wantWorking("orders")
	env.WantCalls(3)
}

// A template that cannot be used is reported before any call or write, by the name of its key, and what the Secret
// holds stays.
func TestUnusableTemplate(t *testing.T) {
	for _, tt := range []struct{ name, key, text, want string }{
		{"a loop", "token", "x\n{{range .SecurityToken}}{{end}}", "spec.secret.template.data[token]: line 2: write text and fields"},
		{"a key of the format", "ALIBABA_CLOUD_SECURITY_TOKEN", "x", "data[ALIBABA_CLOUD_SECURITY_TOKEN]: format SDK writes this key"},
		{"too much", "token", strings.Repeat("{{.SecurityToken|b64enc|b64enc}}", 200), "data[token]: the output is too long"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			env := newEnvironment(t)
			c := env.CreateCredential("orders", withTemplate(tt.key, tt.text))
			env.reconcile(c)
			env.WantCalls(0)
			env.wantNotReady(c)
			env.WantCondition(c, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonInvalidSpec, tt.want)
			env.Edit(c, withTemplate("token", "{{ .SecurityToken }}"))
			env.reconcile(c)
			env.WantCondition(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
			before := env.Secret("orders")
			env.Edit(c, withTemplate(tt.key, tt.text))
			env.reconcile(c)
			env.WantCalls(1)
			env.WantCondition(c, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonInvalidSpec, tt.want)
			if env.Secret("orders").ResourceVersion != before.ResourceVersion {
				t.Error("the Secret was written")
			}
		})
	}
}

// An operator that starts with another region renews those whose Secrets say it, and no others.
func TestRegionIsPartOfTheLayout(t *testing.T) {
	env := newEnvironment(t)
	env.Region = "cn-beijing"
	plain, cli := env.CreateCredential("plain"), env.CreateCredential("cli", withFormats(v1alpha1.FormatCLI))
	env.reconcile(plain)
	env.reconcile(cli)
	env.restartOperator()
	env.Region = "cn-shanghai"
	env.reconcile(plain)
	env.WantCalls(2)
	env.reconcile(cli)
	env.WantCalls(3)
	if config := string(env.Secret("cli").Data["config.json"]); !strings.Contains(config, `"region_id": "cn-shanghai"`) {
		t.Errorf("config.json = %s", config)
	}
}
