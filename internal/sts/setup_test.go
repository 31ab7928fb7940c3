// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package sts_test

import (
	"context"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/stscredential/sts-credential-operator/internal/credentials"
	"github.com/stscredential/sts-credential-operator/internal/sts"
	"github.com/stscredential/sts-credential-operator/test/stsemulator"
)

const (
	account     = "1234567890123456"
	roleARN     = "acs:ram::" + account + ":role/orders-reader"
	operatorARN = "acs:ram::" + account + ":user/operator"
)

// TestMain trusts httptest's certificate authority through SSL_CERT_FILE, as an
// administrator would add one: Go reads the variable once per process.
func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "sts")
		if err != nil {
			panic(err)
		}
		defer func() { _ = os.RemoveAll(dir) }()
		server := httptest.NewTLSServer(http.NotFoundHandler())
		server.Close()
		bundle := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
		file := filepath.Join(dir, "ca.pem")
		if err := os.WriteFile(file, bundle, 0o600); err != nil {
			panic(err)
		}
		_ = os.Setenv("SSL_CERT_FILE", file)
		return m.Run()
	}())
}

// environment is an emulated STS with a user and a role that trusts it.
type environment struct {
	emulator *stsemulator.Emulator
	server   *httptest.Server
	keys     credentials.Credentials
	clock    *clocktesting.FakePassiveClock
}

// newEnvironment starts at a time of its own, while requests are signed at the real one.
func newEnvironment(t *testing.T) *environment {
	t.Helper()
	fake := clocktesting.NewFakePassiveClock(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
	emulator := stsemulator.New(stsemulator.Options{Clock: fake, RequestClock: clock.RealClock{}})
	emulator.AddRole(stsemulator.Role{ARN: roleARN, Trust: []stsemulator.Statement{{RAM: []string{operatorARN}}}})
	key := emulator.AddUser(account, "operator")
	server := httptest.NewServer(emulator)
	t.Cleanup(server.Close)
	return &environment{
		emulator: emulator, server: server, clock: fake,
		keys: credentials.Credentials{AccessKeyID: key.ID, AccessKeySecret: key.Secret},
	}
}

func (w *environment) client(t *testing.T) *sts.Client {
	t.Helper()
	return newClient(t, sts.Options{Endpoint: w.server.URL, Clock: w.clock, Timeout: 5 * time.Second})
}

func newClient(t *testing.T, o sts.Options) *sts.Client {
	t.Helper()
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	client, err := sts.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// answering is a client of a server that is no STS.
func answering(t *testing.T, handler http.HandlerFunc) *sts.Client {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return newClient(t, sts.Options{Endpoint: server.URL, Timeout: 5 * time.Second})
}

var (
	anyKeys = credentials.Credentials{AccessKeyID: "LTAI5tSecretive", AccessKeySecret: "sUpErSeCrEt"}
	order   = credentials.Request{
		RoleARN: roleARN, SessionName: "shop.orders-reader", Duration: time.Hour,
		Policy: `{"Version":"1","Statement":[{"Effect":"Allow","Action":"oss:Get*","Resource":"*"}]}`,
	}
)

// assume calls AssumeRole where only the error matters.
func assume(ctx context.Context, client *sts.Client, keys credentials.Credentials) *sts.Error {
	session, err := client.AssumeRole(ctx, keys, order)
	if err == nil {
		return nil
	}
	if session != (credentials.Credentials{}) {
		panic("an error with a session")
	}
	var e *sts.Error
	if !errors.As(err, &e) {
		panic("not an *sts.Error")
	}
	return e
}
