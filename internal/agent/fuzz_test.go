// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"bufio"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func neverCrowded() bool { return false }

// served is a handler that has credentials.
func served() *handler {
	config := Config{Token: token, Now: func() time.Time { return begin }}
	s := newStore(config)
	s.current.Store(newState([]byte(issuance(1, begin.Add(time.Hour))), begin.Add(time.Hour)))
	return &handler{store: s, config: config, path: []byte(config.path()), saturated: neverCrowded}
}

// FuzzRequest checks that only a GET or HEAD of the path, to an address of this machine, gets credentials.
func FuzzRequest(f *testing.F) {
	f.Add(request("GET "+path, "127.0.0.1:7171"))
	f.Add(request("HEAD "+path+"?x=1", "localhost"))
	f.Add(request("POST "+path, "127.0.0.1:7171"))
	f.Add(request("GET /v1/%31"+token[1:]+"/credentials", "[::1]:7171"))
	f.Add(request("GET /v1/x/../"+token+"/credentials", "127.0.0.1"))
	f.Add("GET http://evil.example" + path + " HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1\r\n\r\nx")
	f.Add("OPTIONS * HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
	h := served()
	f.Fuzz(func(t *testing.T, raw string) {
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(raw)))
		if err != nil {
			return
		}
		got := &recorder{header: http.Header{}}
		h.ServeHTTP(got, r)
		given := r.URL.Path == path && h.config.isOwnHost(r.Host) && (r.Method == http.MethodGet || r.Method == http.MethodHead)
		if (got.status == http.StatusOK) != given {
			t.Errorf("%q: status %d", raw, got.status)
		}
		if !given && got.body.Len() > 0 {
			t.Errorf("%q is answered with %q", raw, got.body.String())
		}
	})
}

// FuzzHost checks that each Host that is accepted is an address of this machine.
func FuzzHost(f *testing.F) {
	for _, host := range []string{"127.0.0.1:7171", "[::1]:7171", "localhost", "evil.example:7171", "[::ffff:127.0.0.1]", "127.0.0.1:7171:7171", "[127.0.0.1", "::1", ""} {
		f.Add(host)
	}
	f.Fuzz(func(t *testing.T, host string) {
		if !(Config{}).isOwnHost(host) {
			return
		}
		name := host
		if i := strings.LastIndex(host, ":"); i >= 0 && (strings.Count(host, ":") == 1 || strings.Contains(host, "]:")) {
			name = host[:i]
		}
		name = strings.Trim(name, "[]")
		if address, err := netip.ParseAddr(name); !strings.EqualFold(name, "localhost") && (err != nil || !address.Unmap().IsLoopback()) {
			t.Errorf("Host %q is accepted", host)
		}
	})
}

// FuzzFile checks that any content of the file leads to an answer with a complete file, or to none.
func FuzzFile(f *testing.F) {
	valid := issuance(2, begin.Add(2*time.Hour))
	for _, cut := range []int{0, 1, len(valid) / 2, len(valid) - 1, len(valid)} {
		f.Add(valid[:cut], cut)
	}
	f.Add(`{"Code":"Success","AccessKeyId":"a","AccessKeySecret":"b","SecurityToken":"c","Expiration":"2026-01-01T13:00:00+08:00"}`, 10)
	f.Add(`{"code":"Success","AccessKeyId":null}`, 3)
	f.Add(strings.Repeat("[", 20_000), 100)
	dir := f.TempDir()
	first := issuance(1, begin.Add(time.Hour))
	f.Fuzz(func(t *testing.T, content string, cut int) {
		s := newStore(Config{Dir: dir, Now: func() time.Time { return begin }, Log: slog.New(slog.DiscardHandler)})
		s.current.Store(newState([]byte(first), begin.Add(time.Hour)))
		for _, written := range []string{content[:max(0, min(cut, len(content)))], content} {
			if err := os.WriteFile(filepath.Join(dir, fileName), []byte(written), 0o600); err != nil {
				t.Fatal(err)
			}
			s.refresh()
			got := s.current.Load()
			_, err := parse([]byte(written))
			if body := string(got.body); body != first && body != written && body != content[:max(0, min(cut, len(content)))] {
				t.Errorf("%q is served for %q", body, written)
			}
			if (err == nil) != (string(got.body) == written && got.problem == "") {
				t.Errorf("%q: %v, problem %q", written, err, got.problem)
			}
			if err != nil && len(written) <= maxFile && got.problem != errIncomplete.Error() {
				t.Errorf("the problem of %q is %q", written, got.problem)
			}
		}
		if _, err := parse([]byte(content)); err == nil {
			for end := range len(strings.TrimRight(content, " \t\r\n")) {
				if _, err := parse([]byte(content[:end])); err == nil {
					t.Fatalf("%d bytes of %q are served as the complete file", end, content)
				}
			}
		}
	})
}
