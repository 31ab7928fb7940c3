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

// stsClient is the Go SDK (V2) with the default credential chain of credentials-go.
func (w *world) stsClient() *sts.Client {
	w.Helper()
	credential, err := credentials.NewCredential(nil)
	w.must(err)
	client, err := sts.NewClient(&openapiutil.Config{Protocol: tea.String("http"), Endpoint: tea.String(w.endpoint()), Credential: credential})
	w.must(err)
	return client
}

func (w *world) ask(client *sts.Client) {
	w.Helper()
	_, err := client.GetCallerIdentity()
	w.must(err)
}

// SDK: the default chain finds the environment.
func TestGoSDKEnvironment(t *testing.T) {
	w := newWorld(t, v1alpha1.FormatSDK)
	w.environment()
	w.ask(w.stsClient())
	w.wantCaller(w.accessKeyID())
}

// CLI: a profile of mode StsToken works, and is never read again by a client.
func TestGoSDKCommandLineProfile(t *testing.T) {
	w := newWorld(t, v1alpha1.FormatCLI)
	w.Setenv("ALIBABA_CLOUD_CONFIG_FILE", w.file("config.json"))
	client, first := w.stsClient(), w.accessKeyID()
	w.ask(client)
	w.wantCaller(first)
	w.renew()
	w.ask(client)
	w.wantCaller(first)
	w.ask(w.stsClient())
	w.wantCaller(w.accessKeyID())
}

// External: a client that lives on uses the new session once the old one is close to its end.
func TestGoSDKExternalProfile(t *testing.T) {
	w := newWorld(t, v1alpha1.FormatExternal)
	w.Setenv("ALIBABA_CLOUD_CONFIG_FILE", w.externalProfile())
	client := w.stsClient()
	w.ask(client)
	w.wantCaller(w.accessKeyID())
	w.renew()
	w.ask(client)
	w.wantCaller(w.accessKeyID())
}

// externalProfile is a profile, as docs/workloads.md has it, in a folder that nobody may write to.
func (w *world) externalProfile() string {
	w.Helper()
	profile := filepath.Join(w.TempDir(), "config.json")
	w.must(os.WriteFile(profile, fmt.Appendf(nil, `{"current": "sts", "profiles": [{"name": "sts", "mode": "External", "process_command": "cat %s"}]}`, w.file("external.json")), 0o400))
	return profile
}

// INI: the V2 SDKs read no token from a profile file, and say so.
func TestGoSDKRefusesINI(t *testing.T) {
	w := newWorld(t, v1alpha1.FormatINI)
	w.Setenv("ALIBABA_CLOUD_CREDENTIALS_FILE", w.file("credentials"))
	w.Setenv("ALIBABA_CLOUD_ECS_METADATA_DISABLED", "true")
	credential, err := credentials.NewCredential(nil)
	w.must(err)
	if got, err := credential.GetCredential(); err == nil {
		t.Errorf("a credential of type %s was read", tea.StringValue(got.Type))
	}
}
