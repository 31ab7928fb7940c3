//go:build unix

// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// The agent serves the kubelet's update within seconds, and logs each as one line without a value.
func TestSwapIsFollowed(t *testing.T) {
	env := newEnvironment(t)
	env.poll = pollInterval
	env.start()
	if got := env.get(); got.status != http.StatusServiceUnavailable {
		t.Errorf("before the Secret is there: %d %s", got.status, got.body)
	}
	for n := 1; n <= 3; n++ {
		env.swap(n, issuance(n, begin.Add(time.Hour)))
		env.eventually("swapped", func(a answer) bool { return a.number() == n })
	}
	log := env.logged()
	if strings.Count(log, "Read credentials.") != 3 || strings.Contains(log, "hush") || strings.Contains(log, "STS.") {
		t.Errorf("the log is\n%s", log)
	}
}

// A directory that is replaced by another one is followed, too.
func TestReplacedDirectoryIsFollowed(t *testing.T) {
	env := newEnvironment(t)
	env.dir = filepath.Join(env.dir, "mounted")
	env.start()
	for n := 1; n <= 3; n++ {
		env.must(os.RemoveAll(env.dir))
		env.must(os.Mkdir(env.dir, 0o700))
		env.swap(n, issuance(n, begin.Add(time.Hour)))
		env.eventually("replaced", func(a answer) bool { return a.number() == n })
	}
}

// maxSwapTime bounds the updates where other work keeps the machine busy.
const maxSwapTime = 30 * time.Second

// Ten thousand updates under load: each answer is of one issuance, valid for another minute at the time of the request, and no
// older than the one before on the same connection.
func TestSwapsUnderLoad(t *testing.T) {
	swaps := 10_000
	if testing.Short() {
		swaps = 500
	}
	env := newEnvironment(t)
	env.swap(1, issuance(1, begin.Add(time.Hour)))
	env.start()
	var served, refused atomic.Int64
	var clients sync.WaitGroup
	done := make(chan struct{})
	for range 4 {
		clients.Go(func() {
			client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{}}
			defer client.CloseIdleConnections()
			for last := 0; ; {
				select {
				case <-done:
					return
				default:
				}
				asked := env.now()
				got, err := ask(client, env.address)
				if err != nil {
					t.Error(err)
					return
				}
				n := got.number()
				switch {
				case got.status == http.StatusServiceUnavailable:
					refused.Add(1)
				case n < last || n < 1:
					t.Errorf("after issuance %d came %d: %s", last, n, got.body)
					return
				default:
					served.Add(1)
					last = n
					if expires, err := parse([]byte(got.body)); err != nil || expires.Before(asked.Add(minLife)) {
						t.Errorf("at %v: %v %s", asked, err, got.body)
						return
					}
				}
			}
		})
	}
	for n, end := 2, time.Now().Add(maxSwapTime); n <= swaps; n++ {
		if time.Now().After(end) {
			swaps = n - 1 // a busy machine
			break
		}
		env.step(time.Second)
		life := time.Hour
		if n%7 == 0 {
			life = time.Duration(n%3) * 30 * time.Second // expired, or too close to it
		}
		env.swap(n, issuance(n, env.now().Add(life)))
	}
	env.swap(swaps+1, issuance(swaps+1, env.now().Add(time.Hour)))
	env.eventually("the last one", func(a answer) bool { return a.number() == swaps+1 })
	close(done)
	clients.Wait()
	t.Logf("%d swaps, %d answers with credentials, %d without", swaps, served.Load(), refused.Load())
	if served.Load() < int64(swaps)/100 {
		t.Errorf("only %d answers", served.Load())
	}
}

func ask(client *http.Client, address string) (answer, error) {
	response, err := client.Get("http://" + address + path) //nolint:noctx // of a test
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	return answer{response.StatusCode, response.Header, string(body)}, err
}

// Neither requests nor files make the agent log a value of the credentials or the token.
func TestNoValueIsLogged(t *testing.T) {
	env := newEnvironment(t)
	env.swap(1, issuance(1, begin.Add(time.Hour)))
	env.start()
	env.get()
	env.raw(request("POST "+path, env.address))
	env.raw("GET " + path + " HTTP/9.9\r\n\r\n")
	env.raw(request("GET "+path+"\x00", env.address))
	env.swap(2, issuance(2, begin.Add(time.Hour))[:150])
	env.waitFor("the log", func() bool { return strings.Contains(env.logged(), "incomplete") })
	env.step(2 * time.Hour)
	env.get()
	for _, value := range []string{"hush", "STS.", token} {
		if strings.Contains(env.logged(), value) {
			t.Errorf("%s is logged:\n%s", value, env.logged())
		}
	}
}

// After SIGTERM the agent answers the running request, and then no more.
func TestRequestsUnderWayAreFinished(t *testing.T) {
	env := newEnvironment(t)
	env.swap(1, issuance(1, begin.Add(time.Hour)))
	asked, release := make(chan struct{}), make(chan struct{})
	env.clock = func() time.Time { // which a request needs
		close(asked)
		<-release
		return begin
	}
	env.start()
	conn, err := net.Dial("tcp", env.address) //nolint:noctx // of a test
	env.must(err)
	defer func() { _ = conn.Close() }()
	whole := request("GET "+path, env.address)
	_, err = conn.Write([]byte(whole))
	env.must(err)
	<-asked
	env.stop()
	env.waitFor("no new connections", func() bool {
		other, err := net.Dial("tcp", env.address) //nolint:noctx // of a test
		if err == nil {
			_ = other.Close()
		}
		return err != nil
	})
	close(release)
	if got := env.read(bufio.NewReader(conn), whole); got.number() != 1 {
		t.Errorf("%d %s", got.status, got.body)
	}
}

// A client that does not finish in time does not keep the agent from ending well.
func TestSlowClientDoesNotFailTheEnd(t *testing.T) {
	env := newEnvironment(t)
	env.swap(1, issuance(1, begin.Add(time.Hour)))
	env.drain = 50 * time.Millisecond
	asked, release := make(chan struct{}), make(chan struct{})
	env.clock = func() time.Time { // which a request needs
		close(asked)
		<-release
		return begin
	}
	env.start() // wants no error at the end
	defer close(release)
	conn, err := net.Dial("tcp", env.address) //nolint:noctx // of a test
	env.must(err)
	defer func() { _ = conn.Close() }()
	_, err = conn.Write([]byte(request("GET "+path, env.address)))
	env.must(err)
	<-asked
	env.stop()
	env.must(conn.SetReadDeadline(time.Now().Add(10 * time.Second)))
	if n, err := conn.Read(make([]byte, 1)); n != 0 || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the connection is not closed: %d bytes, %v", n, err)
	}
	if !strings.Contains(env.logged(), "Closing connections whose requests did not finish in time.") {
		t.Errorf("the log is\n%s", env.logged())
	}
}

// A connection without a request is closed long before the time for a request, so that it does not hold one of the few for long.
func TestHeadersMustComeSoon(t *testing.T) {
	env := newEnvironment(t)
	env.start()
	for _, part := range []string{"", "GET " + path + " HTTP/1.1\r\nHost: "} {
		conn, err := net.Dial("tcp", env.address) //nolint:noctx // of a test
		env.must(err)
		defer func() { _ = conn.Close() }()
		_, err = conn.Write([]byte(part))
		env.must(err)
		env.must(conn.SetReadDeadline(time.Now().Add(requestTimeout - time.Second)))
		if _, err := io.Copy(io.Discard, conn); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("after %q the connection stays open", part)
		}
	}
}

// No more connections are accepted than the limit; the next one waits until one ends. Where they are scarce, none is kept.
func TestConnectionsAreLimited(t *testing.T) {
	inner, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	limited := limit(inner, 2)
	accepted := make(chan net.Conn)
	go func() {
		defer close(accepted)
		for {
			conn, err := limited.Accept()
			if err != nil {
				return
			}
			accepted <- conn
		}
	}()
	for range 3 {
		conn, err := net.Dial("tcp", inner.Addr().String()) //nolint:noctx // of a test
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
	}
	first := <-accepted
	if second := <-accepted; second == nil || !limited.saturated() {
		t.Fatal("two connections of two do not saturate the listener")
	}
	select {
	case <-accepted:
		t.Fatal("a third connection of two is accepted")
	case <-time.After(50 * time.Millisecond):
	}
	_ = first.Close()
	_ = first.Close() // twice counts once
	<-accepted
	if err := limited.Close(); err != nil {
		t.Error(err)
	}
	if _, open := <-accepted; open {
		t.Error("a connection is accepted after the end")
	}
	saturated := &handler{store: newStore(Config{}), path: []byte(path), saturated: func() bool { return true }}
	recorder := &recorder{header: http.Header{}}
	saturated.ServeHTTP(recorder, &http.Request{Method: http.MethodGet, Host: "evil.example"})
	if recorder.header.Get("Connection") != "close" {
		t.Error("a connection is kept where they are scarce")
	}
}

// recorder is a response without a connection.
type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (r *recorder) Header() http.Header { return r.header }

func (r *recorder) WriteHeader(status int) { r.status = status }

func (r *recorder) Write(p []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	return r.body.Write(p)
}
