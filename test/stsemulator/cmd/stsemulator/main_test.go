// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

const seed = `
users:
- {account: "77", name: x, accessKeyId: testid, accessKeySecret: testsecret}
`

// start runs the command and returns the addresses in its line of output, and what stops it.
func start(t *testing.T, seed string) (addresses map[string]string, stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	reader, writer := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := run(ctx, "127.0.0.1:0", "127.0.0.1:0", seed, writer)
		_ = writer.CloseWithError(io.EOF)
		ended <- err
	}()
	line, err := bufio.NewReader(reader).ReadString('\n')
	if err != nil {
		cancel()
		t.Fatalf("no line of output: %v", <-ended)
	}
	addresses = map[string]string{}
	for _, match := range regexp.MustCompile(`(\w+)=(\S+)`).FindAllStringSubmatch(line, -1) {
		addresses[match[1]] = match[2]
	}
	return addresses, func() error { cancel(); return <-ended }
}

func get(t *testing.T, client *http.Client, address string) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, _ := io.ReadAll(response.Body)
	return response.StatusCode, string(body)
}

func TestServesEverythingAndEnds(t *testing.T) {
	file := filepath.Join(t.TempDir(), "seed.yaml")
	if err := os.WriteFile(file, []byte(seed), 0o600); err != nil {
		t.Fatal(err)
	}
	addresses, stop := start(t, file)
	const call = "/?Action=GetCallerIdentity&Version=2015-04-01&AccessKeyId=testid&Signature=x&SignatureNonce=x" +
		"&SignatureMethod=HMAC-SHA1&SignatureVersion=1.0&Timestamp=2026-01-01T00:00:00Z"
	client := &http.Client{Transport: &http.Transport{}}
	if status, body := get(t, client, "http://"+addresses["http"]+call); status != http.StatusBadRequest || !strings.Contains(body, "InvalidTimeStamp.Expired") {
		t.Errorf("STS answered %d %s", status, body)
	}
	if status, body := get(t, client, "http://"+addresses["admin"]+"/calls"); status != http.StatusOK ||
		strings.Count(body, "testid") != 1 {
		t.Errorf("the admin endpoint answered %d %s", status, body)
	}
	if err := stop(); err != nil {
		t.Errorf("ended with %v", err)
	}
}

// TestEndsThoughACallHangs must not wait for the client.
func TestEndsThoughACallHangs(t *testing.T) {
	addresses, stop := start(t, "")
	admin := "http://" + addresses["admin"]
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, admin+"/faults",
		strings.NewReader(`{"kind":"Hang"}`))
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{}}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	hung := make(chan error, 1)
	go func() {
		response, err := http.Get("http://" + addresses["http"]) //nolint:noctx // the point is that nobody cancels
		if err == nil {
			_ = response.Body.Close()
		}
		hung <- err
	}()
	deadline := time.After(10 * time.Second)
	for {
		if _, body := get(t, client, admin+"/calls"); strings.Contains(body, "requestID") {
			break
		}
		select {
		case <-deadline:
			t.Fatal("the call never came")
		case <-time.After(time.Millisecond):
		}
	}
	if err := stop(); err != nil {
		t.Errorf("ended with %v", err)
	}
	if <-hung == nil {
		t.Error("the hanging call was answered")
	}
}

func TestBadFlags(t *testing.T) {
	for name, flags := range map[string][3]string{
		"no seed":           {"127.0.0.1:0", "127.0.0.1:0", "/does/not/exist"},
		"bad address":       {"nowhere", "127.0.0.1:0", ""},
		"bad admin address": {"127.0.0.1:0", "nowhere", ""},
	} {
		if err := run(t.Context(), flags[0], flags[1], flags[2], io.Discard); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
