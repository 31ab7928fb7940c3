// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package formats

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aliyun/alibaba-cloud-sdk-go/sdk"
	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/auth/credentials"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/agent"
)

// podUID is the token of the agent.
const podUID = "11111111-2222-3333-4444-555555555555"

// newAgentEnvironment has a Secret with the format URI, an agent that serves it at the address, and the variables that the injection sets.
func newAgentEnvironment(t *testing.T) (env *environment, address string) {
	t.Helper()
	env = newEnvironment(t, v1alpha1.FormatURI)
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // of a test
	env.must(err)
	address = listener.Addr().String()
	env.must(listener.Close())
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() {
		ended <- agent.Run(ctx, agent.Config{Dir: env.volume, Listen: address, Token: podUID, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	}()
	t.Cleanup(func() {
		cancel()
		env.must(<-ended)
	})
	t.Setenv("ALIBABA_CLOUD_CREDENTIALS_URI", "http://"+address+"/v1/"+podUID+"/credentials")
	t.Setenv("ALIBABA_CLOUD_ECS_METADATA_DISABLED", "true")
	env.served(address)
	return env, address
}

// served waits until the agent serves what the Secret holds.
func (env *environment) served(address string) {
	env.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		response, err := http.Get("http://" + address + "/v1/" + podUID + "/credentials") //nolint:noctx // of a test
		if err != nil {
			continue
		}
		body, _ := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if strings.Contains(string(body), env.accessKeyID()) {
			return
		}
	}
	env.Fatal("the agent does not serve what the Secret holds")
}

// followed asks with one client, before and after renewals.
func (env *environment) followed(address string, ask func()) {
	env.Helper()
	for range 3 {
		ask()
		env.wantCaller(env.accessKeyID())
		env.renew()
		env.served(address)
	}
}

// URI: the default chain of the V2 SDK for Go finds the agent, and one client follows renewals.
func TestGoSDKAgent(t *testing.T) {
	env, address := newAgentEnvironment(t)
	record(t, row{"Go", goModule(t, "github.com/aliyun/credentials-go"), documentAgent, "STS GetCallerIdentity", inACS3Header, byURI})
	client := env.stsClient()
	env.followed(address, func() { env.ask(client) })
}

// URI: the same for the V2 SDK for Node.js.
func TestNodeSDKAgent(t *testing.T) {
	env, address := newAgentEnvironment(t)
	record(t, row{"Node.js", npmPackage(t, "@alicloud/credentials"), documentAgent, "STS GetCallerIdentity", inACS3Header, byURI})
	env.followed(address, env.nodeSDK())
}

// URI: the same for the V1.0 SDK for Go.
func TestGoV1Agent(t *testing.T) {
	env, address := newAgentEnvironment(t)
	record(t, row{"Go", goModule(t, "github.com/aliyun/alibaba-cloud-sdk-go"), documentAgent, "STS GetCallerIdentity", inParameter, byURI})
	client, err := sdk.NewClientWithOptions("cn-hangzhou", sdk.NewConfig(), credentials.NewDefaultCredentialsProvider())
	env.must(err)
	env.followed(address, func() { env.must(env.identity(client)) })
}
