// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package formats

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/aliyun/alibaba-cloud-sdk-go/sdk"
	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/auth/credentials"
	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/requests"
	"gopkg.in/ini.v1"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
)

// identity asks STS with a client of the Go SDK V1.0.
func (env *environment) identity(client *sdk.Client) error {
	request := requests.NewCommonRequest()
	request.Method, request.Scheme, request.Domain = "POST", "http", env.endpoint()
	request.Version, request.ApiName = "2015-04-01", "GetCallerIdentity"
	_, err := client.ProcessCommonRequest(request)
	return err
}

// goV1 returns a function that calls STS with one client of the V1.0 SDK and its default chain.
func (env *environment) goV1() (ask func()) {
	env.Helper()
	client, err := sdk.NewClientWithOptions("cn-hangzhou", sdk.NewConfig(), credentials.NewDefaultCredentialsProvider())
	env.must(err)
	return func() {
		env.Helper()
		env.must(env.identity(client))
	}
}

// SDK: the V1.0 SDK's default chain takes the token from the environment.
func TestGoV1Environment(t *testing.T) {
	env := newEnvironment(t, v1alpha1.FormatSDK)
	record(t, row{"Go", goModule(t, "github.com/aliyun/alibaba-cloud-sdk-go"), documentWorkloads, "STS GetCallerIdentity", inParameter, byRestart})
	env.restarted(func() {
		env.goV1()()
		env.wantCaller(env.accessKeyID())
	})
}

// SDK: its older way to read the environment leaves the token out, and STS refuses.
func TestGoV1OlderEnvironmentLeavesTheTokenOut(t *testing.T) {
	env := newEnvironment(t, v1alpha1.FormatSDK)
	record(t, row{"Go", goModule(t, "github.com/aliyun/alibaba-cloud-sdk-go"), documentWorkloads, "STS GetCallerIdentity", "nowhere: refused", "never"})
	env.setEnvironment()
	client, err := sdk.NewClientWithProvider("cn-hangzhou")
	env.must(err)
	if err := env.identity(client); err == nil {
		t.Error("STS accepts a session's key without its token")
	}
}

// CLI: the default chain reads the profile in the home folder, once.
func TestGoV1CommandLineProfile(t *testing.T) {
	env := newEnvironment(t, v1alpha1.FormatCLI)
	record(t, row{"Go", goModule(t, "github.com/aliyun/alibaba-cloud-sdk-go"), documentWorkloads, "STS GetCallerIdentity", inParameter, byRestart})
	home := filepath.Join(os.Getenv("HOME"), ".aliyun")
	env.must(os.Symlink(env.volume, home))
	env.readOnce(env.goV1)
}

// External: a provider that reads the file follows renewals; the constructors of the SDK do not.
func TestGoV1File(t *testing.T) {
	env := newEnvironment(t, v1alpha1.FormatExternal)
	record(t, row{"Go", goModule(t, "github.com/aliyun/alibaba-cloud-sdk-go"), documentWorkloads, "STS GetCallerIdentity", inParameter, byFile})
	first := env.accessKeyID()
	s, err := readSession(env.file("external.json"))
	env.must(err)
	constructed, err := sdk.NewClientWithStsToken("cn-hangzhou", s.ID, s.Secret, s.Token)
	env.must(err)
	provided, err := sdk.NewClientWithOptions("cn-hangzhou", sdk.NewConfig(), fileProvider{env.file("external.json")})
	env.must(err)
	env.renew()
	env.must(env.identity(constructed))
	env.wantCaller(first)
	env.must(env.identity(provided))
	env.wantCaller(env.accessKeyID())
}

// Plain: one value per file, for a constructor, which keeps them.
func TestGoV1Plain(t *testing.T) {
	env := newEnvironment(t, v1alpha1.FormatPlain)
	record(t, row{"Go", goModule(t, "github.com/aliyun/alibaba-cloud-sdk-go"), documentWorkloads, "STS GetCallerIdentity", inParameter, byRestart})
	env.readOnce(func() func() {
		client, err := sdk.NewClientWithStsToken("cn-hangzhou", env.read("accessKeyId"), env.read("accessKeySecret"), env.read("securityToken"))
		env.must(err)
		return func() { env.must(env.identity(client)) }
	})
}

// INI: the file has the section and the keys that its readers expect. None of these readers is a Go module or an npm package.
func TestINIFile(t *testing.T) {
	env := newEnvironment(t, v1alpha1.FormatINI)
	file, err := ini.Load(env.file("credentials"))
	env.must(err)
	for key, want := range map[string]string{"type": "sts_token", "access_key_id": env.accessKeyID()} {
		if got := file.Section("default").Key(key).String(); got != want {
			t.Errorf("%s = %q, want %q", key, got, want)
		}
	}
	token := file.Section("default").Key("security_token").String()
	client, err := sdk.NewClientWithStsToken("cn-hangzhou", env.accessKeyID(), file.Section("default").Key("access_key_secret").String(), token)
	env.must(err)
	env.must(env.identity(client))
	env.wantCaller(env.accessKeyID())
}
