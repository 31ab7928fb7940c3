// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package sts_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stscredential/sts-credential-operator/internal/sts"
	"github.com/stscredential/sts-credential-operator/test/stsemulator"
)

func TestHangTimesOut(t *testing.T) {
	w := newEnvironment(t)
	w.emulator.Inject(stsemulator.Fault{Kind: stsemulator.FaultHang})
	client := newClient(t, sts.Options{Endpoint: w.server.URL, Timeout: 50 * time.Millisecond})
	e := assume(context.Background(), client, w.keys)
	if e == nil || e.Class != sts.Transient || !strings.Contains(e.Error(), "in time") || errors.Unwrap(e) != nil {
		t.Errorf("got %v", e)
	}
}

func TestPartialResponseTimesOut(t *testing.T) {
	client := newClient(t, sts.Options{Timeout: 50 * time.Millisecond, Endpoint: serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = w.Write([]byte(`{"RequestId":`))
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})})
	if e := assume(context.Background(), client, anyKeys); e == nil || e.Class != sts.Transient || !strings.Contains(e.Error(), "in time") {
		t.Errorf("got %v", e)
	}
}

func serve(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.URL
}

func TestCanceledCall(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	url := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	})
	e := assume(ctx, newClient(t, sts.Options{Endpoint: url, Timeout: time.Hour}), anyKeys)
	if !errors.Is(e, context.Canceled) || e.Class != sts.Transient || !strings.Contains(e.Error(), "canceled") {
		t.Errorf("got %v", e)
	}
}
