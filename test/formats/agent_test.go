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

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/agent"
)

// podUID is the token of the agent.
const podUID = "11111111-2222-3333-4444-555555555555"

// newAgentEnvironment has a Secret with the format URI, an agent that serves it, and the variables that the injection sets.
func newAgentEnvironment(t *testing.T) *environment {
	t.Helper()
	env := newEnvironment(t, v1alpha1.FormatURI)
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // of a test
	env.must(err)
	address := listener.Addr().String()
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
	env.agentURI = "http://" + address + "/v1/" + podUID + "/credentials"
	t.Setenv("ALIBABA_CLOUD_CREDENTIALS_URI", env.agentURI)
	t.Setenv("ALIBABA_CLOUD_ECS_METADATA_DISABLED", "true")
	env.waitForAgent()
	return env
}

// waitForAgent waits until the agent serves what the Secret holds.
func (env *environment) waitForAgent() {
	env.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		response, err := http.Get(env.agentURI) //nolint:noctx // of a test
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

// URI: the default chain of the V2 SDK for Go finds the agent, and one client follows renewals.
func TestGoSDKAgent(t *testing.T) {
	env := newAgentEnvironment(t)
	record(t, row{"Go", goModule(t, "github.com/aliyun/credentials-go"), documentAgent, "STS GetCallerIdentity", inACS3Header, byURI})
	env.followed(env.goSDK())
}

// URI: the same for the V2 SDK for Node.js.
func TestNodeSDKAgent(t *testing.T) {
	env := newAgentEnvironment(t)
	record(t, row{"Node.js", npmPackage(t, "@alicloud/credentials"), documentAgent, "STS GetCallerIdentity", inACS3Header, byURI})
	env.followed(env.nodeSDK())
}

// URI: the same for the V1.0 SDK for Go.
func TestGoV1Agent(t *testing.T) {
	env := newAgentEnvironment(t)
	record(t, row{"Go", goModule(t, "github.com/aliyun/alibaba-cloud-sdk-go"), documentAgent, "STS GetCallerIdentity", inParameter, byURI})
	env.followed(env.goV1())
}
