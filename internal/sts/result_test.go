// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package sts_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	"github.com/stscredential/sts-credential-operator/internal/credentials"
	"github.com/stscredential/sts-credential-operator/internal/sts"
	"github.com/stscredential/sts-credential-operator/test/stsemulator"
)

// observed collects the results of calls.
type observed []string

func (o *observed) note(action, outcome string, took time.Duration) {
	*o = append(*o, fmt.Sprint(action, " ", outcome, " ", took))
}

// Whatever STS, or something in its place, answers: a call is observed once, with one of few outcomes.
func TestCallsAreObserved(t *testing.T) {
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	failing := func(code string) stsemulator.Fault {
		return stsemulator.Fault{Kind: stsemulator.FaultError, Code: code}
	}
	for _, c := range []struct {
		name    string
		fault   stsemulator.Fault
		options sts.Options
		keys    credentials.Credentials
		want    string // the result; "" if nothing is sent
	}{
		{name: "a session", want: "OK"},
		{name: "a code of the table", fault: failing("NoPermission"), want: "NoPermission"},
		{name: "a code by its prefix", fault: failing("Throttling.User"), want: "Throttling"},
		{name: "a code with a row of its own beside the prefix", fault: failing("InvalidParameter.PolicySize"), want: "InvalidParameter.PolicySize"},
		{name: "an unknown code", fault: failing("Novelty.8472"), want: "other"},
		{name: "a code with the name of a result", fault: failing("Unreachable"), want: "other"},
		{name: "a closed port", options: sts.Options{Endpoint: closed.URL}, want: "Unreachable"},
		{name: "the connection breaks", fault: stsemulator.Fault{Kind: stsemulator.FaultReset}, want: "Unreachable"},
		{name: "no answer in time", fault: stsemulator.Fault{Kind: stsemulator.FaultHang}, options: sts.Options{Timeout: 50 * time.Millisecond}, want: "Timeout"},
		{name: "a page of a gateway", fault: stsemulator.Fault{Kind: stsemulator.FaultBadGateway}, want: "BrokenAnswer"},
		{name: "no secret in the answer", fault: stsemulator.Fault{Kind: stsemulator.FaultPartial, Missing: "AccessKeySecret"}, want: "BrokenAnswer"},
		{name: "malformed credentials", keys: credentials.Credentials{AccessKeyID: "x"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newEnvironment(t)
			if c.fault.Kind != "" {
				w.emulator.Inject(c.fault)
			}
			var got observed
			c.options.Clock, c.options.Observe = w.clock, got.note
			if c.options.Endpoint == "" {
				c.options.Endpoint = w.server.URL
			}
			if c.keys == (credentials.Credentials{}) {
				c.keys = w.keys
			}
			_ = assume(context.Background(), newClient(t, c.options), c.keys)
			var want observed
			if c.want != "" {
				want.note("AssumeRole", c.want, 0)
			}
			if !slices.Equal(got, want) {
				t.Errorf("observed %q, want %q", got, want)
			}
			if c.want != "" && !slices.Contains(sts.Results(), c.want) {
				t.Errorf("%s is none of %q", c.want, sts.Results())
			}
		})
	}
}

func TestEachActionIsObserved(t *testing.T) {
	clock := clocktesting.NewFakePassiveClock(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
	ctx, giveUp := context.WithCancel(context.Background())
	calls := 0
	var got observed
	client := newClient(t, sts.Options{Clock: clock, Observe: got.note, Endpoint: serve(t, func(w http.ResponseWriter, r *http.Request) {
		clock.SetTime(clock.Now().Add(250 * time.Millisecond)) // which is how long this answer takes
		if calls++; calls == 3 {
			giveUp()
			<-r.Context().Done()
		}
		_, _ = w.Write([]byte(`{"RequestId":"R-1"}`))
	})})
	_, _ = client.GetCallerIdentity(ctx, anyKeys)
	_, _ = client.AssumeRoleWithOIDC(ctx, sts.OIDCRequest{ProviderARN: "p", Token: "token", Request: order})
	_, _ = client.AssumeRoleWithOIDC(ctx, sts.OIDCRequest{Request: order}) // not sent
	_ = assume(ctx, client, anyKeys)
	want := observed{"GetCallerIdentity BrokenAnswer 250ms", "AssumeRoleWithOIDC BrokenAnswer 250ms", "AssumeRole Canceled 250ms"}
	if !slices.Equal(got, want) {
		t.Errorf("observed %q, want %q", got, want)
	}
}
