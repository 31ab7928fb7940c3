// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package formats

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	openapiutil "github.com/alibabacloud-go/darabonba-openapi/v2/utils"
	sts "github.com/alibabacloud-go/sts-20150401/v2/client"
	"github.com/alibabacloud-go/tea/tea"
	"github.com/aliyun/credentials-go/credentials"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
)

// goSDK returns a function that calls STS with one client of the Go SDK (V2) and the default chain of credentials-go.
func (env *environment) goSDK() (ask func()) {
	env.Helper()
	credential, err := credentials.NewCredential(nil)
	env.must(err)
	client, err := sts.NewClient(&openapiutil.Config{Protocol: tea.String("http"), Endpoint: tea.String(env.endpoint()), Credential: credential})
	env.must(err)
	return func() {
		env.Helper()
		_, err := client.GetCallerIdentity()
		env.must(err)
	}
}

// SDK: the default chain finds the environment.
func TestGoSDKEnvironment(t *testing.T) {
	env := newEnvironment(t, v1alpha1.FormatSDK)
	record(t, row{"Go", goModule(t, "github.com/aliyun/credentials-go"), documentWorkloads, "STS GetCallerIdentity", inACS3Header, byRestart})
	env.restarted(func() {
		env.goSDK()()
		env.wantCaller(env.accessKeyID())
	})
}

// CLI: a profile of mode StsToken works, and is never read again by a client.
func TestGoSDKCommandLineProfile(t *testing.T) {
	env := newEnvironment(t, v1alpha1.FormatCLI)
	record(t, row{"Go", goModule(t, "github.com/aliyun/credentials-go"), documentWorkloads, "STS GetCallerIdentity", inACS3Header, byRestart})
	env.Setenv("ALIBABA_CLOUD_CONFIG_FILE", env.file("config.json"))
	env.readOnce(env.goSDK)
}

// External: a client that lives on uses the new session once the old one is close to its end.
func TestGoSDKExternalProfile(t *testing.T) {
	env := newEnvironment(t, v1alpha1.FormatExternal)
	record(t, row{"Go", goModule(t, "github.com/aliyun/credentials-go"), documentWorkloads, "STS GetCallerIdentity", inACS3Header, byFile})
	env.Setenv("ALIBABA_CLOUD_CONFIG_FILE", env.externalProfile())
	env.followed(env.goSDK())
}

// externalProfile is a profile, as docs/workloads.md has it, in a folder that nobody may write to.
func (env *environment) externalProfile() string {
	env.Helper()
	profile := filepath.Join(env.TempDir(), "config.json")
	env.must(os.WriteFile(profile, fmt.Appendf(nil, `{"current": "sts", "profiles": [{"name": "sts", "mode": "External", "process_command": "cat %s"}]}`, env.file("external.json")), 0o400))
	return profile
}

// INI: the V2 SDKs read no token from a profile file, and say so.
func TestGoSDKRefusesINI(t *testing.T) {
	env := newEnvironment(t, v1alpha1.FormatINI)
	env.Setenv("ALIBABA_CLOUD_CREDENTIALS_FILE", env.file("credentials"))
	env.Setenv("ALIBABA_CLOUD_ECS_METADATA_DISABLED", "true")
	credential, err := credentials.NewCredential(nil)
	env.must(err)
	if got, err := credential.GetCredential(); err == nil {
		t.Errorf("a credential of type %s was read", tea.StringValue(got.Type))
	}
}
