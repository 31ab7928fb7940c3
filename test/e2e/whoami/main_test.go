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

// world is an emulated STS that can issue triples.
type world struct {
	*testing.T
	endpoint string
	emulator *stsemulator.Emulator
	clock    *clocktesting.FakePassiveClock
	client   *sts.Client
}

func newWorld(t *testing.T) *world {
	w := &world{T: t, clock: clocktesting.NewFakePassiveClock(time.Now())}
	emulator := stsemulator.New(stsemulator.Options{Clock: w.clock, RequestClock: clock.RealClock{}})
	user := emulator.AddUser("1234567890123456", "operator")
	emulator.AddRole(stsemulator.Role{ARN: role, Trust: []stsemulator.Statement{{RAM: []string{"acs:ram::1234567890123456:user/operator"}}}})
	w.emulator = emulator
	server := httptest.NewServer(emulator)
	t.Cleanup(server.Close)
	w.endpoint = server.URL
	var err error
	w.client, err = sts.NewClient(&openapi.Config{
		Protocol: dara.String("http"), Endpoint: dara.String(server.Listener.Addr().String()),
		Type: dara.String("access_key"), AccessKeyId: &user.ID, AccessKeySecret: &user.Secret,
	})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) issue() map[string]string {
	w.Helper()
	answer, err := w.client.AssumeRole(&sts.AssumeRoleRequest{RoleArn: dara.String(role), RoleSessionName: dara.String("shop.orders-reader")})
	if err != nil {
		w.Fatal(err)
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
func (w *world) want(work *workload, want string) {
	w.Helper()
	out := &bytes.Buffer{}
	work.out = out
	if err := work.work(); err != nil {
		w.Fatal(err)
	}
	if out.String() != want {
		w.Errorf("said %q, want %q", out, want)
	}
}

const arn = "acs:ram::1234567890123456:assumed-role/orders-reader/shop.orders-reader"

// The environment stays what it was: once it has expired every call fails, and is counted.
func TestEnvironment(t *testing.T) {
	w := newWorld(t)
	for key, value := range w.issue() {
		t.Setenv(key, value)
	}
	t.Setenv("expiration", "")
	work := &workload{endpoint: w.endpoint}
	w.want(work, arn+"\n")
	w.want(work, "") // nothing new
	w.clock.SetTime(w.clock.Now().Add(2 * time.Hour))
	w.want(work, "failure 1: InvalidSecurityToken.Expired\n")
	w.want(work, "failure 2: InvalidSecurityToken.Expired\n")
	calls := w.emulator.Calls()
	if last := calls[len(calls)-1]; !strings.Contains(last.UserAgent, "whoami/") || !strings.Contains(last.UserAgent, " failures/1") {
		t.Errorf("the last call tells %q, want the failure before it", last.UserAgent)
	}
}

// A workload that is told to end makes one last call: it tells of what failed before.
func TestLastCall(t *testing.T) {
	w := newWorld(t)
	volume := t.TempDir()
	work := workload{source: source(volume), endpoint: w.endpoint, out: io.Discard, failures: 3}
	for key, value := range w.issue() {
		if err := os.WriteFile(filepath.Join(volume, key), []byte(value), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	w.emulator.ForgetCalls()
	ended, end := context.WithCancel(t.Context())
	end()
	if err := run(ended, work, time.Hour); err != nil {
		t.Fatal(err)
	}
	calls := w.emulator.Calls()
	if len(calls) != 2 || !strings.HasSuffix(calls[1].UserAgent, "failures/3") {
		t.Errorf("calls %+v, want two, and the failures told", calls)
	}
}

// A mounted Secret is read anew for each call, all of it in one version.
func TestFolder(t *testing.T) {
	w := newWorld(t)
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
	work := &workload{source: source(volume), endpoint: w.endpoint}
	w.want(work, "failure 1: no whole triple to read\n")
	first := w.issue()
	mount("..1", first)
	w.want(work, arn+", expires "+first["expiration"]+"\n")
	w.clock.SetTime(w.clock.Now().Add(2 * time.Hour))
	second := w.issue()
	mount("..2", second)
	w.want(work, arn+", expires "+second["expiration"]+"\n")
	w.want(work, "")
	w.endpoint = "http://127.0.0.1:1"
	work.endpoint = w.endpoint
	out := &bytes.Buffer{}
	work.out = out
	if err := work.work(); err != nil || !strings.HasPrefix(out.String(), "failure 2: ") {
		t.Errorf("%v, said %q; want a failure where nobody answers", err, out)
	}
}
