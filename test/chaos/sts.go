// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stscredential/sts-credential-operator/test/chaos/observer"
	"github.com/stscredential/sts-credential-operator/test/stsemulator"
)

const (
	account = "1234567890123456"
	user    = "acs:ram::" + account + ":user/sts-operator"
	// assumeRole is the action that issues sessions.
	assumeRole = "AssumeRole"
)

// roles are the roles of the StsCredentials.
var roles = []string{
	"acs:ram::" + account + ":role/chaos-reader", "acs:ram::" + account + ":role/chaos-writer", "acs:ram::" + account + ":role/chaos-auditor",
}

// sts is an emulated STS that reports each session to the observer before it answers. It can be closed, and can cut its responses
// short.
type sts struct {
	*stsemulator.Emulator
	key      stsemulator.AccessKey
	observer *observer.Observer
	lifetime time.Duration
	address  string // host:port

	cut    atomic.Bool  // responses are cut short, and connections half closed
	halved atomic.Int64 // the number of these responses
	failed atomic.Int64 // calls of AssumeRole without a session in the response

	mu     sync.Mutex
	server *http.Server
}

// newSTS starts STS with a user and roles that trust it. Sessions live for lifetime, whatever a call requests.
func newSTS(ctx context.Context, o *observer.Observer, lifetime time.Duration) (*sts, error) {
	s := &sts{Emulator: stsemulator.New(stsemulator.Options{}), observer: o, lifetime: lifetime, address: "127.0.0.1:0"}
	s.key = s.AddUser(account, "sts-operator")
	for _, role := range roles {
		s.AddRole(stsemulator.Role{ARN: role, Trust: []stsemulator.Statement{{RAM: []string{user}}}})
	}
	s.script()
	return s, s.open(ctx)
}

// script sets the faults, in addition to the short lifetime.
func (s *sts) script(faults ...stsemulator.Fault) {
	s.Replace(append([]stsemulator.Fault{{Kind: stsemulator.FaultShortLifetime, Duration: s.lifetime}}, faults...)...)
}

// pending is the number of faults that are still to be injected.
func (s *sts) pending() int { return len(s.Faults()) - 1 }

// open starts the server, always on the same port.
func (s *sts) open(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", s.address)
	if err != nil {
		return fmt.Errorf("listen as STS: %w", err)
	}
	s.address = listener.Addr().String()
	s.server = &http.Server{Handler: s, ReadHeaderTimeout: time.Minute, ErrorLog: silent}
	go func(server *http.Server) { _ = server.Serve(listener) }(s.server)
	return nil
}

// close refuses new connections and closes the others.
func (s *sts) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = s.server.Close()
}

// answer holds a response back until the observer knows it.
type answer struct {
	http.ResponseWriter
	status int
	body   bytes.Buffer
}

func (a *answer) WriteHeader(status int)        { a.status = status }
func (a *answer) Write(p []byte) (int, error)   { return a.body.Write(p) }
func (a *answer) Unwrap() http.ResponseWriter   { return a.ResponseWriter }
func (a *answer) connection() (net.Conn, error) { return hijacked(a.ResponseWriter) }
func hijacked(w http.ResponseWriter) (net.Conn, error) {
	connection, _, err := http.NewResponseController(w).Hijack()
	return connection, err
}

// ServeHTTP answers a call as the emulator does.
func (s *sts) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	issues := r.Header.Get("x-acs-action") == assumeRole
	if issues {
		s.failed.Add(1) // until the call succeeds: with some faults the emulator does not return
	}
	a := &answer{ResponseWriter: w}
	s.Emulator.ServeHTTP(a, r)
	if a.status == 0 && a.body.Len() == 0 {
		return // the connection was reset
	}
	if issues && s.cut.Load() {
		s.halve(a)
		return
	}
	if issues && s.report(a, r) {
		s.failed.Add(-1)
	}
	w.WriteHeader(a.status)
	_, _ = a.body.WriteTo(w)
}

// issued is a response of AssumeRole.
type issued struct {
	Credentials struct {
		AccessKeyID     string `json:"AccessKeyId"`
		AccessKeySecret string
		SecurityToken   string
		Expiration      string
	}
}

// report gives the observer the content of a response, and reports whether it is a session.
func (s *sts) report(a *answer, r *http.Request) bool {
	var i issued
	if a.status != http.StatusOK || json.Unmarshal(a.body.Bytes(), &i) != nil {
		return false
	}
	c := i.Credentials
	expiry, err := time.Parse(time.RFC3339, c.Expiration)
	if err != nil || c.AccessKeyID == "" || c.AccessKeySecret == "" || c.SecurityToken == "" {
		s.observer.Withheld(c.AccessKeySecret, c.SecurityToken)
		return false
	}
	query := r.URL.Query()
	s.observer.Issued(observer.Issuance{
		Credentials: observer.Credentials{ID: c.AccessKeyID, Secret: c.AccessKeySecret, Token: c.SecurityToken},
		Role:        query.Get("RoleArn"), Session: query.Get("RoleSessionName"), IssuedAt: time.Now(), ExpiresAt: expiry,
	})
	return true
}

// halve sends a part of a response and closes its own side of the connection. The part is in turn nothing, a part of the header,
// and half of the body.
func (s *sts) halve(a *answer) {
	var i issued
	if json.Unmarshal(a.body.Bytes(), &i) == nil {
		s.observer.Withheld(i.Credentials.AccessKeySecret, i.Credentials.SecurityToken)
	}
	connection, err := a.connection()
	if err != nil {
		return
	}
	defer func() { _ = connection.Close() }()
	body := a.body.Bytes()
	whole := fmt.Appendf(nil, "HTTP/1.1 %d OK\r\nContent-Type: application/json;charset=utf-8\r\nContent-Length: %d\r\n\r\n%s", a.status, len(body), body)
	n := s.halved.Add(1)
	part := [...]int{0, 12, len(whole) - len(body)/2}[n%3]
	_, _ = connection.Write(whole[:part])
	if tcp, ok := connection.(*net.TCPConn); ok {
		_ = tcp.CloseWrite()
	}
	_ = connection.SetReadDeadline(time.Now().Add(time.Minute))
	if _, err := io.Copy(io.Discard, connection); err != nil && !errors.Is(err, net.ErrClosed) {
		return
	}
}
