// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

const token = "11111111-2222-3333-4444-555555555555"

// begin is the time at which each test begins.
var begin = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// environment is a volume as the kubelet writes it, a clock, and an agent that serves the volume.
type environment struct {
	*testing.T
	dir     string
	address string
	stop    context.CancelFunc
	ended   chan error
	clock   func() time.Time // instead of its own
	poll    time.Duration    // between two reads of the file
	drain   time.Duration    // until connections are closed at the end

	mu  sync.Mutex
	at  time.Time
	log bytes.Buffer
}

// newEnvironment has an empty volume and no agent.
func newEnvironment(t *testing.T) *environment {
	return &environment{T: t, dir: t.TempDir(), at: begin, poll: time.Millisecond, drain: drainTimeout}
}

func (env *environment) config() Config {
	return Config{Dir: env.dir, Listen: "127.0.0.1:0", Token: token, Now: env.now, Log: slog.New(slog.NewTextHandler(env, nil))}
}

// start runs the agent until the test ends.
func (env *environment) start() {
	env.Helper()
	listener, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	env.must(err)
	ctx, cancel := context.WithCancel(context.Background())
	env.address, env.stop, env.ended = listener.Addr().String(), cancel, make(chan error, 1)
	go func() { env.ended <- env.config().serve(ctx, listener, env.poll, env.drain) }()
	env.Cleanup(func() {
		cancel()
		if err := <-env.ended; err != nil {
			env.Errorf("the agent ended with %v", err)
		}
	})
}

func (env *environment) must(err error) {
	env.Helper()
	if err != nil {
		env.Fatal(err)
	}
}

func (env *environment) now() time.Time {
	if env.clock != nil {
		return env.clock()
	}
	env.mu.Lock()
	defer env.mu.Unlock()
	return env.at
}

func (env *environment) step(d time.Duration) {
	env.mu.Lock()
	defer env.mu.Unlock()
	env.at = env.at.Add(d)
}

// Write keeps the agent's log.
func (env *environment) Write(line []byte) (int, error) {
	env.mu.Lock()
	defer env.mu.Unlock()
	return env.log.Write(line)
}

func (env *environment) logged() string {
	env.mu.Lock()
	defer env.mu.Unlock()
	return env.log.String()
}

// issuance is the content of a Secret with the format URI: every part of it names the number.
func issuance(n int, expires time.Time) string {
	return fmt.Sprintf(`{"Code": "Success", "StatusCode": "200", "AccessKeyId": "STS.n%d", "AccessKeySecret": "hush-%d", "SecurityToken": "hush-token-%d",
  "Expiration": %q, "LastUpdated": "2026-01-01T12:00:00Z"}`, n, n, n, expires.UTC().Format(time.RFC3339))
}

// swap updates the volume as the kubelet does: a directory for the version, and a link to it that is replaced at once.
func (env *environment) swap(version int, content string) {
	env.Helper()
	name := fmt.Sprintf("..2026_01_01_%d", version)
	env.must(os.Mkdir(filepath.Join(env.dir, name), 0o700))
	env.must(os.WriteFile(filepath.Join(env.dir, name, fileName), []byte(content), 0o600))
	env.link(name)
}

// link lets ..data lead to the directory of a version, and removes what it led to.
func (env *environment) link(name string) {
	env.Helper()
	last, _ := os.Readlink(filepath.Join(env.dir, "..data"))
	env.must(os.Symlink(name, filepath.Join(env.dir, "..data_tmp")))
	env.must(os.Rename(filepath.Join(env.dir, "..data_tmp"), filepath.Join(env.dir, "..data")))
	if last != "" {
		env.must(os.RemoveAll(filepath.Join(env.dir, last)))
		return
	}
	env.must(os.Symlink(filepath.Join("..data", fileName), filepath.Join(env.dir, fileName)))
}

// answer is what the agent answered.
type answer struct {
	status int
	header http.Header
	body   string
}

// number of the issuance that was served; -1 if the parts are not of one, 0 if none was served.
func (a answer) number() int {
	var got struct{ AccessKeyID, AccessKeySecret, SecurityToken string }
	if a.status != http.StatusOK || json.Unmarshal([]byte(a.body), &got) != nil {
		return 0
	}
	var id, secret, token int
	_, err := fmt.Sscanf(got.AccessKeyID+" "+got.AccessKeySecret+" "+got.SecurityToken, "STS.n%d hush-%d hush-token-%d", &id, &secret, &token)
	if err != nil || id != secret || id != token {
		return -1
	}
	return id
}

// raw sends a request as it is.
func (env *environment) raw(request string) answer {
	env.Helper()
	conn, err := net.Dial("tcp", env.address) //nolint:noctx // of a test
	env.must(err)
	defer func() { _ = conn.Close() }()
	env.must(conn.SetDeadline(time.Now().Add(10 * time.Second)))
	_, err = conn.Write([]byte(request))
	env.must(err)
	return env.read(bufio.NewReader(conn), request)
}

func (env *environment) read(from *bufio.Reader, request string) answer {
	env.Helper()
	method, _, _ := strings.Cut(request, " ")
	response, err := http.ReadResponse(from, &http.Request{Method: method})
	env.must(err)
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	env.must(err)
	return answer{response.StatusCode, response.Header, string(body)}
}

// get sends the request of an SDK.
func (env *environment) get() answer {
	env.Helper()
	return env.raw("GET /v1/" + token + "/credentials HTTP/1.1\r\nHost: " + env.address + "\r\nConnection: close\r\n\r\n")
}

// eventually gets until an answer is as wanted: the agent reads the volume from time to time.
func (env *environment) eventually(what string, wanted func(answer) bool) answer {
	env.Helper()
	var last answer
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if last = env.get(); wanted(last) {
			return last
		}
	}
	env.Fatalf("%s: the last answer is %d %s", what, last.status, last.body)
	return last
}
