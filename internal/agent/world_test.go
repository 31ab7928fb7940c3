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

// begin is when each test begins, by its clock.
var begin = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// world is a volume as the kubelet writes it, a clock, and an agent that serves the volume.
type world struct {
	*testing.T
	dir     string
	address string
	stop    context.CancelFunc
	ended   chan error
	clock   func() time.Time // instead of its own
	drain   time.Duration    // until connections are closed at the end

	mu  sync.Mutex
	at  time.Time
	log bytes.Buffer
}

// newWorld has an empty volume and no agent.
func newWorld(t *testing.T) *world {
	return &world{T: t, dir: t.TempDir(), at: begin, drain: drainTimeout}
}

func (w *world) config() Config {
	return Config{Dir: w.dir, Listen: "127.0.0.1:0", Token: token, Now: w.now, Log: slog.New(slog.NewTextHandler(w, nil))}
}

// start runs the agent until the test ends.
func (w *world) start() {
	w.Helper()
	listener, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	w.must(err)
	ctx, cancel := context.WithCancel(context.Background())
	w.address, w.stop, w.ended = listener.Addr().String(), cancel, make(chan error, 1)
	go func() { w.ended <- w.config().serve(ctx, listener, w.drain) }()
	w.Cleanup(func() {
		cancel()
		if err := <-w.ended; err != nil {
			w.Errorf("the agent ended with %v", err)
		}
	})
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) now() time.Time {
	if w.clock != nil {
		return w.clock()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.at
}

func (w *world) step(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.at = w.at.Add(d)
}

// Write keeps the agent's log.
func (w *world) Write(line []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.log.Write(line)
}

func (w *world) logged() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.log.String()
}

// issuance is the content of a Secret with the format URI: every part of it names the number.
func issuance(n int, expires time.Time) string {
	return fmt.Sprintf(`{"Code": "Success", "StatusCode": "200", "AccessKeyId": "STS.n%d", "AccessKeySecret": "hush-%d", "SecurityToken": "hush-token-%d",
  "Expiration": %q, "LastUpdated": "2026-01-01T12:00:00Z"}`, n, n, n, expires.UTC().Format(time.RFC3339))
}

// swap updates the volume as the kubelet does: a directory for the version, and a link to it that is replaced at once.
func (w *world) swap(version int, content string) {
	w.Helper()
	name := fmt.Sprintf("..2026_01_01_%d", version)
	w.must(os.Mkdir(filepath.Join(w.dir, name), 0o700))
	w.must(os.WriteFile(filepath.Join(w.dir, name, fileName), []byte(content), 0o600))
	w.link(name)
}

// link lets ..data lead to the directory of a version, and removes what it led to.
func (w *world) link(name string) {
	w.Helper()
	last, _ := os.Readlink(filepath.Join(w.dir, "..data"))
	w.must(os.Symlink(name, filepath.Join(w.dir, "..data_tmp")))
	w.must(os.Rename(filepath.Join(w.dir, "..data_tmp"), filepath.Join(w.dir, "..data")))
	if last != "" {
		w.must(os.RemoveAll(filepath.Join(w.dir, last)))
		return
	}
	w.must(os.Symlink(filepath.Join("..data", fileName), filepath.Join(w.dir, fileName)))
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
func (w *world) raw(request string) answer {
	w.Helper()
	conn, err := net.Dial("tcp", w.address) //nolint:noctx // of a test
	w.must(err)
	defer func() { _ = conn.Close() }()
	w.must(conn.SetDeadline(time.Now().Add(10 * time.Second)))
	_, err = conn.Write([]byte(request))
	w.must(err)
	return w.read(bufio.NewReader(conn), request)
}

func (w *world) read(from *bufio.Reader, request string) answer {
	w.Helper()
	method, _, _ := strings.Cut(request, " ")
	response, err := http.ReadResponse(from, &http.Request{Method: method})
	w.must(err)
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	w.must(err)
	return answer{response.StatusCode, response.Header, string(body)}
}

// get asks as an SDK does.
func (w *world) get() answer {
	w.Helper()
	return w.raw("GET /v1/" + token + "/credentials HTTP/1.1\r\nHost: " + w.address + "\r\nConnection: close\r\n\r\n")
}

// eventually gets until an answer is as wanted: the agent follows the volume by itself.
func (w *world) eventually(what string, wanted func(answer) bool) answer {
	w.Helper()
	var last answer
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if last = w.get(); wanted(last) {
			return last
		}
	}
	w.Fatalf("%s: the last answer is %d %s", what, last.status, last.body)
	return last
}
