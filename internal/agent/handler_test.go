// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

const path = "/v1/" + token + "/credentials"

// request is one with the Host that SDKs send, unless the line has one.
func request(line, host string) string {
	return line + " HTTP/1.1\r\nHost: " + host + "\r\nConnection: close\r\n\r\n"
}

// Only clients with the path get credentials, and only from a URI with an address of this machine. A server-side request forgery
// (SSRF) can make an application request a URI, but it does not have the token.
func TestForgedRequestsGetNothing(t *testing.T) {
	env := newEnvironment(t)
	env.swap(1, issuance(1, begin.Add(time.Hour)))
	env.start()
	own := env.address
	for _, tt := range []struct {
		name, given string
		status      int
	}{
		{"an SDK's request", request("GET "+path, own), http.StatusOK},
		{"HEAD", request("HEAD "+path, own), http.StatusOK},
		{"the address without a port", request("GET "+path, "127.0.0.1"), http.StatusOK},
		{"by localhost", request("GET "+path, "localhost:7171"), http.StatusOK},
		{"by IPv6", request("GET "+path, "[::1]:7171"), http.StatusOK},
		{"by IPv6 without a port", request("GET "+path, "[::1]"), http.StatusOK},
		{"through a proxy in the pod", request("GET http://"+own+path, own), http.StatusOK},
		{"with a query, as some clients add", request("GET "+path+"?", own), http.StatusOK},

		{"no token", request("GET /v1/credentials", own), http.StatusNotFound},
		{"an empty token", request("GET /v1//credentials", own), http.StatusNotFound},
		{"another token", request("GET /v1/"+strings.ReplaceAll(token, "5", "6")+"/credentials", own), http.StatusNotFound},
		{"a prefix of the token", request("GET /v1/"+token[:35]+"/credentials", own), http.StatusNotFound},
		{"more than the token", request("GET /v1/"+token+"0/credentials", own), http.StatusNotFound},
		{"the token in a header", "GET /v1/credentials HTTP/1.1\r\nHost: " + own + "\r\nAuthorization: " + token + "\r\n\r\n", http.StatusNotFound},
		{"the token in a query", request("GET /v1/credentials?token="+token, own), http.StatusNotFound},
		{"the root", request("GET /", own), http.StatusNotFound},
		{"the metadata service's path", request("GET /latest/meta-data/ram/security-credentials/", own), http.StatusNotFound},
		{"a folder", request("GET "+path+"/", own), http.StatusNotFound},
		{"a path that leads back", request("GET /v1/x/../"+token+"/credentials", own), http.StatusNotFound},
		{"an encoded path that leads back", request("GET /v1/x/%2e%2e/"+token+"/credentials", own), http.StatusNotFound},
		{"two slashes", request("GET /"+path, own), http.StatusNotFound},
		{"a NUL", request("GET "+path+"%00", own), http.StatusNotFound},
		{"upper case", request("GET "+strings.ToUpper(path), own), http.StatusNotFound},
		{"debugging", request("GET /debug/pprof/", own), http.StatusNotFound},

		{"POST", request("POST "+path, own), http.StatusMethodNotAllowed},
		{"POST with a body", "POST " + path + " HTTP/1.1\r\nHost: " + own + "\r\nContent-Length: 1000000\r\n\r\nx", http.StatusMethodNotAllowed},
		{"PUT", request("PUT "+path, own), http.StatusMethodNotAllowed},
		{"DELETE without the token", request("DELETE /v1/x/credentials", own), http.StatusMethodNotAllowed},
		{"OPTIONS, as a browser sends first", request("OPTIONS "+path, own), http.StatusMethodNotAllowed},
		{"OPTIONS of the server", request("OPTIONS *", own), http.StatusMethodNotAllowed},
		{"TRACE", request("TRACE "+path, own), http.StatusMethodNotAllowed},
		{"CONNECT", request("CONNECT 127.0.0.1:443", "127.0.0.1:443"), http.StatusMethodNotAllowed},
		{"lower case", request("get "+path, own), http.StatusMethodNotAllowed},
	} {
		got := env.raw(tt.given)
		switch {
		case got.status != tt.status:
			t.Errorf("%s: status %d, want %d", tt.name, got.status, tt.status)
		case tt.status == http.StatusOK && !strings.HasPrefix(tt.given, "HEAD") && got.number() != 1:
			t.Errorf("%s: answered with %s", tt.name, got.body)
		case tt.status != http.StatusOK && (got.body != "" || len(got.header) > 3):
			t.Errorf("%s: answered with %q %v, want nothing", tt.name, got.body, got.header)
		}
	}
}

// A page in a browser on this machine can have a name of its own lead to the agent (DNS rebinding): its requests have that name.
func TestForeignHostsGetNothing(t *testing.T) {
	env := newEnvironment(t)
	env.swap(1, issuance(1, begin.Add(time.Hour)))
	env.start()
	for _, host := range []string{
		"evil.example", "evil.example:7171", "127.0.0.1.nip.io", "localhost.evil.example", "localhost.", "0.0.0.0:7171", "10.0.0.1:7171", "[::]:7171",
		"[2001:db8::1]:7171", "100.100.100.200", "2130706433", "0x7f.1", "127.1", "", "127.0.0.1@evil.example", "[::1", "::1]",
	} {
		if got := env.raw(request("GET "+path, host)); got.status == http.StatusOK || strings.Contains(got.body, "hush") {
			t.Errorf("Host %q: status %d %s", host, got.status, got.body)
		}
	}
	for _, raw := range []string{
		"GET http://evil.example" + path + " HTTP/1.1\r\nHost: " + env.address + "\r\n\r\n", // the URL's host counts
		"GET " + path + " HTTP/1.0\r\n\r\n",
		"GET " + path + " HTTP/1.1\r\n\r\n",
		"GET " + path + " HTTP/1.1\r\nHost: " + env.address + "\r\nHost: evil.example\r\n\r\n",
	} {
		if got := env.raw(raw); got.status == http.StatusOK || strings.Contains(got.body, "hush") {
			t.Errorf("%q: status %d %s", raw, got.status, got.body)
		}
	}
	all := env.config()
	all.AllowNonLoopback = true
	for host, want := range map[string]bool{"10.0.0.1:7171": true, "127.0.0.1": true, "[2001:db8::1]:7171": true, "localhost": true, "evil.example": false, "": false} {
		if all.isOwnHost(host) != want {
			t.Errorf("with any address to listen on, Host %q is accepted: %v", host, !want)
		}
	}
}

// What a request holds is bounded, and a request that cannot be read is not answered with anything of the agent's.
func TestRequestsAreBounded(t *testing.T) {
	env := newEnvironment(t)
	env.swap(1, issuance(1, begin.Add(time.Hour)))
	env.start()
	for name, raw := range map[string]string{
		"a long header":     "GET " + path + " HTTP/1.1\r\nHost: " + env.address + "\r\nX: " + strings.Repeat("x", 16<<10) + "\r\n\r\n",
		"a long path":       "GET " + path + strings.Repeat("x", 16<<10) + " HTTP/1.1\r\nHost: " + env.address + "\r\n\r\n",
		"no request":        "\x16\x03\x01\r\n\r\n",
		"no path":           "GET HTTP/1.1\r\nHost: " + env.address + "\r\n\r\n",
		"another protocol":  "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		"two lengths":       "GET " + path + " HTTP/1.1\r\nHost: " + env.address + "\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
		"a header's folded": "GET " + path + " HTTP/1.1\r\nHost: " + env.address + "\r\n Folded: x\r\n\r\n",
	} {
		got := env.raw(raw)
		if got.status < 400 || strings.Contains(got.body, "hush") || strings.Contains(got.body, token) {
			t.Errorf("%s: status %d %q", name, got.status, got.body)
		}
	}
}

// An answer is the file, byte for byte, and is not cached.
func TestAnswer(t *testing.T) {
	env := newEnvironment(t)
	content := issuance(1, begin.Add(time.Hour))
	env.swap(1, content)
	env.start()
	got := env.get()
	if got.body != content || got.header.Get("Content-Type") != "application/json" || got.header.Get("Cache-Control") != "no-store" {
		t.Errorf("%v %s", got.header, got.body)
	}
	if head := env.raw(request("HEAD "+path, env.address)); head.body != "" || head.header.Get("Content-Length") != got.header.Get("Content-Length") {
		t.Errorf("HEAD: %v %q", head.header, head.body)
	}
}
