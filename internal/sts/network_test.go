// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package sts_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/utils/clock"

	"github.com/stscredential/sts-credential-operator/internal/credentials"
	"github.com/stscredential/sts-credential-operator/internal/sts"
	"github.com/stscredential/sts-credential-operator/test/stsemulator"
)

// The SDK's own errors contain the URL, with policy and role.
func TestNetworkErrorsNameTheNextStep(t *testing.T) {
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	for _, c := range []struct {
		name     string
		endpoint string
		want     string
	}{
		{"a closed port", closed.URL, "refused"},
		{"no such host", "http://sts.invalid", "cannot be resolved"},
		{"a certificate of another authority", withCertificate(t, selfSigned(t, "127.0.0.1")), "SSL_CERT_FILE"},
		{"a certificate of another host", otherHost(t), "not valid for it"},
		{"no TLS there", strings.Replace(serve(t, http.NotFound), "http://", "https://", 1), "does not speak TLS"},
		{"no HTTP there", hangingUp(t), "connection to STS failed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := assume(context.Background(), newClient(t, sts.Options{Endpoint: c.endpoint}), anyKeys)
			if e == nil || e.Class != sts.Transient || e.Reason != sts.ReasonSTSUnavailable || e.Code != "" {
				t.Fatalf("got %+v", e)
			}
			if text := e.Error(); !strings.Contains(text, c.want) || strings.Contains(text, "acs:ram") || strings.Contains(text, "://") {
				t.Errorf("the error is: %s", text)
			}
		})
	}
}

func withCertificate(t *testing.T, certificate tls.Certificate) string {
	t.Helper()
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}}
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	return server.URL
}

func selfSigned(t *testing.T, ip string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: clock.RealClock{}.Now().Add(time.Hour), IPAddresses: []net.IP{net.ParseIP(ip)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// otherHost serves httptest's certificate, which is trusted, under a name it is not for.
func otherHost(t *testing.T) string {
	t.Helper()
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	return strings.Replace(server.URL, "127.0.0.1", "localhost", 1)
}

func hangingUp(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_ = conn.Close()
		}
	}()
	return "http://" + listener.Addr().String()
}

// connectProxy forwards each CONNECT to one server, and records the requested host.
type connectProxy struct {
	*httptest.Server
	target string
	refuse int

	mu       sync.Mutex
	asked    []string
	password string
}

func newConnectProxy(t *testing.T, target *httptest.Server) *connectProxy {
	t.Helper()
	p := &connectProxy{target: target.Listener.Addr().String()}
	p.Server = httptest.NewServer(p)
	t.Cleanup(p.Close)
	return p
}

func (p *connectProxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	p.asked = append(p.asked, r.Method+" "+r.Host)
	p.password = r.Header.Get("Proxy-Authorization")
	p.mu.Unlock()
	if p.refuse != 0 {
		w.WriteHeader(p.refuse)
		return
	}
	target, err := (&net.Dialer{}).DialContext(r.Context(), "tcp", p.target)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	client, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(err)
	}
	_, _ = io.WriteString(client, "HTTP/1.1 200 OK\r\n\r\n")
	go func() { _, _ = io.Copy(target, buffered); _ = target.Close() }()
	_, _ = io.Copy(client, target)
	_ = client.Close()
}

// recorded returns the requested hosts, and the password of the last request.
func (p *connectProxy) recorded() (hosts []string, password string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.asked), p.password
}

// example.com is the host that httptest's certificate names.
func TestProxy(t *testing.T) {
	emulator := stsemulator.New(stsemulator.Options{})
	emulator.AddRole(stsemulator.Role{ARN: roleARN, Trust: []stsemulator.Statement{{RAM: []string{operatorARN}}}})
	key := emulator.AddUser(account, "operator")
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Proxy-Authorization") != "" {
			t.Error("the proxy's password reached STS")
		}
		emulator.ServeHTTP(w, r)
	}))
	defer server.Close()
	proxy := newConnectProxy(t, server)
	address := strings.TrimPrefix(proxy.URL, "http://")

	for name, value := range map[string]string{
		"as a URL": "http://" + address, "as host and port": address, "with a password": "http://me:hush@" + address,
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("HTTPS_PROXY", value)
			client := newClient(t, sts.Options{Endpoint: "https://example.com"})
			if e := assume(context.Background(), client, credentials.Credentials{AccessKeyID: key.ID, AccessKeySecret: key.Secret}); e != nil {
				t.Fatal(e)
			}
			asked, password := proxy.recorded()
			if last := asked[len(asked)-1]; last != "CONNECT example.com:443" {
				t.Errorf("the proxy got %s", last)
			}
			if strings.Contains(value, "hush") != (password != "") {
				t.Errorf("the proxy was given %q", password)
			}
		})
	}
}

func TestProxyThatRefuses(t *testing.T) {
	proxy := newConnectProxy(t, httptest.NewServer(http.NotFoundHandler()))
	proxy.refuse = http.StatusProxyAuthRequired
	t.Setenv("HTTPS_PROXY", proxy.URL)
	e := assume(context.Background(), newClient(t, sts.Options{Endpoint: "https://example.com"}), anyKeys)
	if e == nil || !strings.Contains(e.Error(), "HTTPS_PROXY") {
		t.Errorf("got %v", e)
	}
}

func TestNoProxy(t *testing.T) {
	proxy := newConnectProxy(t, httptest.NewServer(http.NotFoundHandler()))
	t.Setenv("HTTPS_PROXY", proxy.URL)
	t.Setenv("NO_PROXY", ".invalid")
	if e := assume(context.Background(), newClient(t, sts.Options{Endpoint: "https://sts.invalid"}), anyKeys); e == nil {
		t.Error("no error")
	}
	if asked, _ := proxy.recorded(); len(asked) != 0 {
		t.Errorf("the proxy got %v", asked)
	}
}

func TestUnusableEnvironment(t *testing.T) {
	for _, c := range []struct{ variable, value, want string }{
		{"HTTPS_PROXY", "http://ex ample:hush", "HTTPS_PROXY"},
		{"DEBUG", "sdk,dara", "DEBUG=dara"},
		{"DEBUG", "tea", "DEBUG=tea"},
		{"DEBUG", "credential", "DEBUG=credential"},
	} {
		t.Run(c.variable+"="+c.value, func(t *testing.T) {
			t.Setenv(c.variable, c.value)
			_, err := sts.New(sts.Options{Region: "cn-hangzhou", Clock: clock.RealClock{}})
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "hush") {
				t.Errorf("got %v", err)
			}
		})
	}
}
