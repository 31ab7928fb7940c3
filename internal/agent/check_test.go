// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestCheck(t *testing.T) {
	env := newEnvironment(t)
	env.start()
	config := env.config()
	config.Listen = env.address
	for _, tt := range []struct {
		name   string
		change func()
		want   string // empty: the agent serves
	}{
		{"no Secret", func() {}, "credentials.json is missing in"},
		{"served", func() {
			env.swap(1, issuance(1, begin.Add(time.Hour)))
			env.eventually("served", func(a answer) bool { return a.number() == 1 })
		}, ""},
		{"served on all addresses", func() {
			config.Listen, config.AllowNonLoopback = "0.0.0.0"+strings.TrimPrefix(env.address, "127.0.0.1"), true
		}, ""},
		{"expired", func() { env.step(time.Hour) }, "expire at 2026-01-01T13:00:00Z"},
		{"another token", func() { config.Token += "0" }, "answers with status 404, so it is an agent with another STSCRED_TOKEN, or another program"},
		{"no token", func() { config.Token = "" }, "no token"},
	} {
		tt.change()
		err := Check(t.Context(), config)
		if (err == nil) != (tt.want == "") || err != nil && (!strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n")) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}

// Another program on the port is not taken for the agent, and the check ends before the kubelet's timeout.
func TestCheckOfOthers(t *testing.T) {
	released := make(chan struct{})
	for _, tt := range []struct {
		name  string
		serve http.HandlerFunc
		want  string
	}{
		{"a web server", http.NotFound, "answers with status 404"},
		{"a redirect elsewhere", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://192.0.2.1/", http.StatusFound)
		}, "answers with status 302, so it is another program"},
		{"a web server with a page for everything", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") }, "does not answer with credentials, so it is another program"},
		{"another 503", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }, "is not the agent's"},
		{"a 503 without end", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = io.WriteString(w, strings.Repeat("x", 1<<20))
		}, "is not the agent's"},
		{"a message of several lines", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = io.WriteString(w, `{"Code": "Unavailable", "Message": "one\n two"}`)
		}, "one two"},
		{"no response in time", func(http.ResponseWriter, *http.Request) { <-released }, "no agent answers on 127.0.0.1:"},
	} {
		server := httptest.NewServer(tt.serve)
		t.Cleanup(server.Close)
		config := newEnvironment(t).config()
		config.Listen = server.Listener.Addr().String()
		begun := time.Now()
		err := Check(t.Context(), config)
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
		if took := time.Since(begun); took > 5*time.Second {
			t.Errorf("%s: it took %v", tt.name, took)
		}
	}
	close(released)
}
