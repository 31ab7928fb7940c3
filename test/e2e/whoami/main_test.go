// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"io"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	openapi "github.com/alibabacloud-go/darabonba-openapi/v2/utils"
	sts "github.com/alibabacloud-go/sts-20150401/v2/client"
	"github.com/alibabacloud-go/tea/dara"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/stscredential/sts-credential-operator/test/stsemulator"
)

const role = "acs:ram::1234567890123456:role/orders-reader"

// environment is an emulated STS that can issue triples.
type environment struct {
	*testing.T
	endpoint string
	emulator *stsemulator.Emulator
	clock    *clocktesting.FakePassiveClock
	client   *sts.Client
}

func newEnvironment(t *testing.T) *environment {
	env := &environment{T: t, clock: clocktesting.NewFakePassiveClock(time.Now())}
	emulator := stsemulator.New(stsemulator.Options{Clock: env.clock, RequestClock: clock.RealClock{}})
	user := emulator.AddUser("1234567890123456", "operator")
	emulator.AddRole(stsemulator.Role{ARN: role, Trust: []stsemulator.Statement{{RAM: []string{"acs:ram::1234567890123456:user/operator"}}}})
	env.emulator = emulator
	server := httptest.NewServer(emulator)
	t.Cleanup(server.Close)
	env.endpoint = server.URL
	var err error
	env.client, err = sts.NewClient(&openapi.Config{
		Protocol: dara.String("http"), Endpoint: dara.String(server.Listener.Addr().String()),
		Type: dara.String("access_key"), AccessKeyId: &user.ID, AccessKeySecret: &user.Secret,
	})
	if err != nil {
		t.Fatal(err)
	}
	return env
}

func (env *environment) issue() map[string]string {
	env.Helper()
	answer, err := env.client.AssumeRole(&sts.AssumeRoleRequest{RoleArn: dara.String(role), RoleSessionName: dara.String("shop.orders-reader")})
	if err != nil {
		env.Fatal(err)
	}
	c := answer.Body.Credentials
	return map[string]string{
		"ALIBABA_CLOUD_ACCESS_KEY_ID":     *c.AccessKeyId,
		"ALIBABA_CLOUD_ACCESS_KEY_SECRET": *c.AccessKeySecret,
		"ALIBABA_CLOUD_SECURITY_TOKEN":    *c.SecurityToken,
		"expiration":                      *c.Expiration,
	}
}

// want has the workload make one call and compares what it says.
func (env *environment) want(work *workload, want string) {
	env.Helper()
	out := &bytes.Buffer{}
	work.out = out
	if err := work.work(); err != nil {
		env.Fatal(err)
	}
	if out.String() != want {
		env.Errorf("said %q, want %q", out, want)
	}
}

const arn = "acs:ram::1234567890123456:assumed-role/orders-reader/shop.orders-reader"

// The environment stays what it was: once it has expired every call fails, and is counted.
func TestEnvironment(t *testing.T) {
	env := newEnvironment(t)
	for key, value := range env.issue() {
		t.Setenv(key, value)
	}
	t.Setenv("expiration", "")
	work := &workload{endpoint: env.endpoint}
	env.want(work, arn+"\n")
	env.want(work, "") // nothing new
	env.clock.SetTime(env.clock.Now().Add(2 * time.Hour))
	env.want(work, "failure 1: InvalidSecurityToken.Expired\n")
	env.want(work, "failure 2: InvalidSecurityToken.Expired\n")
	calls := env.emulator.Calls()
	if last := calls[len(calls)-1]; !strings.Contains(last.UserAgent, "whoami/") || !strings.Contains(last.UserAgent, " failures/1") {
		t.Errorf("the last call reports %q, want the failure before it", last.UserAgent)
	}
}

// A workload that is terminated makes one last call, which reports the earlier failures.
func TestLastCall(t *testing.T) {
	env := newEnvironment(t)
	volume := t.TempDir()
	work := workload{source: source(volume), endpoint: env.endpoint, out: io.Discard, failures: 3}
	for key, value := range env.issue() {
		if err := os.WriteFile(filepath.Join(volume, key), []byte(value), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	env.emulator.ForgetCalls()
	ended, end := context.WithCancel(t.Context())
	end()
	if err := run(ended, work, time.Hour); err != nil {
		t.Fatal(err)
	}
	calls := env.emulator.Calls()
	if len(calls) != 2 || !strings.HasSuffix(calls[1].UserAgent, "failures/3") {
		t.Errorf("calls %+v, want two, and the failures reported", calls)
	}
}

// A mounted Secret is read anew for each call, all of it in one version.
func TestFolder(t *testing.T) {
	env := newEnvironment(t)
	volume := t.TempDir()
	mount := func(version string, keys map[string]string) {
		folder := filepath.Join(volume, version)
		if err := os.Mkdir(folder, 0o700); err != nil {
			t.Fatal(err)
		}
		for key, value := range keys {
			if err := os.WriteFile(filepath.Join(folder, key), []byte(value), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		link := filepath.Join(volume, "..data")
		_ = os.Remove(link)
		if err := os.Symlink(version, link); err != nil {
			t.Fatal(err)
		}
	}
	work := &workload{source: source(volume), endpoint: env.endpoint}
	env.want(work, "failure 1: no whole triple to read\n")
	first := env.issue()
	mount("..1", first)
	env.want(work, arn+", expires "+first["expiration"]+"\n")
	env.clock.SetTime(env.clock.Now().Add(2 * time.Hour))
	second := env.issue()
	mount("..2", second)
	env.want(work, arn+", expires "+second["expiration"]+"\n")
	env.want(work, "")
	env.endpoint = "http://127.0.0.1:1"
	work.endpoint = env.endpoint
	out := &bytes.Buffer{}
	work.out = out
	if err := work.work(); err != nil || !strings.HasPrefix(out.String(), "failure 2: ") {
		t.Errorf("%v, said %q; want a failure where nobody answers", err, out)
	}
}
