// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"

	"github.com/stscredential/sts-credential-operator/internal/credentials"
	client "github.com/stscredential/sts-credential-operator/internal/sts"
	"github.com/stscredential/sts-credential-operator/test/chaos/observer"
	"github.com/stscredential/sts-credential-operator/test/stsemulator"
)

// newTestSTS returns an emulated STS with its observer, and a function that calls it with the operator's client.
func newTestSTS(t *testing.T) (*sts, func() (credentials.Credentials, error)) {
	t.Helper()
	s, err := newSTS(t.Context(), observer.New(time.Second, time.Minute), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.close)
	c, err := client.New(client.Options{Endpoint: "http://" + s.address, Clock: clock.RealClock{}, Timeout: 2 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	return s, func() (credentials.Credentials, error) {
		return c.AssumeRole(t.Context(), credentials.Credentials{AccessKeyID: s.key.ID, AccessKeySecret: s.key.Secret},
			credentials.Request{RoleARN: roles[0], SessionName: "calm.c001"})
	}
}

// The observer knows the sessions that STS issued, and no others.
func TestSessionsAreRecorded(t *testing.T) {
	s, ask := newTestSTS(t)
	session, err := ask()
	if err != nil {
		t.Fatal(err)
	}
	if life := session.ExpiresAt.Sub(session.IssuedAt); life > time.Minute || life < 55*time.Second {
		t.Errorf("it lives for %s", life)
	}
	if got := s.observer.Calls(); got.Sessions != 1 || s.failed.Load() != 0 {
		t.Errorf("recorded %+v, %d failed", got, s.failed.Load())
	}
	for name, f := range map[string]stsemulator.Fault{
		"partial": {Kind: stsemulator.FaultPartial, Missing: "AccessKeyId"}, "error": {Kind: stsemulator.FaultError, Code: "InternalError"},
		"empty": {Kind: stsemulator.FaultEmpty}, "reset": {Kind: stsemulator.FaultReset}, "hang": {Kind: stsemulator.FaultHang},
	} {
		before := s.failed.Load()
		s.script(f)
		if _, err := ask(); err == nil || s.failed.Load() != before+1 || s.observer.Calls().Sessions != 1 {
			t.Errorf("%s: %v, %d failed, %d sessions", name, err, s.failed.Load()-before, s.observer.Calls().Sessions)
		}
	}
}

// A response that is cut short issues no session. After it, and after a restart, STS issues sessions again.
func TestConnectionsAreHalfClosed(t *testing.T) {
	s, ask := newTestSTS(t)
	s.cut.Store(true)
	for range 3 {
		if _, err := ask(); err == nil {
			t.Error("a response that was cut short is accepted")
		}
	}
	if s.halved.Load() != 3 || s.observer.Calls().Sessions != 0 {
		t.Errorf("%d halved, %d sessions", s.halved.Load(), s.observer.Calls().Sessions)
	}
	s.cut.Store(false)
	s.close()
	if _, err := ask(); err == nil {
		t.Error("STS answers although it was closed")
	}
	if err := s.open(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := ask(); err != nil {
		t.Error(err)
	}
}

// The proxy does what the test sets, and otherwise only forwards requests.
func TestProxy(t *testing.T) {
	writes, watching := 0, make(chan struct{}, 1)
	apiServer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch {
		case r.URL.Query().Get("watch") == "true":
			w.WriteHeader(http.StatusOK)
			_ = http.NewResponseController(w).Flush()
			watching <- struct{}{}
			<-r.Context().Done()
		case r.Method == http.MethodDelete:
			writes++
			_, _ = io.WriteString(w, `{"apiVersion":"v1","kind":"Status","status":"Success"}`)
		default:
			_, _ = io.WriteString(w, `{"apiVersion":"v1","kind":"Secret"}`)
		}
	}))
	defer apiServer.Close()
	p, err := newProxy(&rest.Config{Host: apiServer.URL})
	if err != nil {
		t.Fatal(err)
	}
	defer p.server.Close()
	config := p.config()
	config.QPS = -1
	secrets := kubernetes.NewForConfigOrDie(config).CoreV1().Secrets("calm")
	const tries = 40
	failures := func(m proxyFault, is func(error) bool) (failed int) {
		p.do(m)
		for range tries {
			if err := secrets.Delete(t.Context(), "c001", metav1.DeleteOptions{}); err != nil {
				if failed++; !is(err) {
					t.Errorf("fault %d: %v", m, err)
				}
			}
		}
		if done := p.do(none); done != failed {
			t.Errorf("fault %d: injected %d times, %d failures", m, done, failed)
		}
		return failed
	}
	if got := failures(none, func(error) bool { return false }); got != 0 {
		t.Errorf("%d requests failed without a fault", got)
	}
	if got := failures(conflicts, apierrors.IsConflict); got == 0 || got == tries {
		t.Errorf("%d of %d were answered with a conflict", got, tries)
	}
	writes = 0
	if got := failures(loses, func(err error) bool { return !apierrors.IsConflict(err) }); got == 0 || got == tries || writes < tries {
		t.Errorf("%d of %d responses were lost, of %d writes", got, tries, writes)
	}
	watch, err := secrets.Watch(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	<-watching
	if got := p.cutWatches(); got != 1 {
		t.Errorf("%d watches were cut", got)
	}
	for event := range watch.ResultChan() { // until it is closed
		t.Logf("a last event: %v", event.Type)
	}
}

// When kill returns, the replica has a new process. A caller that waits for the replica then waits for the new process.
func TestKilledReplicasAreReplaced(t *testing.T) {
	s, _ := newTestSTS(t)
	at := &environment{dir: t.TempDir(), sts: s, observer: s.observer}
	at.fleet = &fleet{environment: at, dir: at.dir}
	r := &replica{fleet: at.fleet, name: "only", program: "sleep", flags: []string{"60"}, wanted: true, over: make(chan struct{})}
	if err := r.start(); err != nil {
		t.Fatal(err)
	}
	go r.supervise(t.Context())
	for range 20 {
		former := r.current()
		r.kill(t.Context())
		select {
		case <-former.Done():
		default:
			t.Fatal("the killed process still runs")
		}
		if r.current() == former {
			t.Fatal("the killed process was not replaced")
		}
	}
	if r.replaced(t.Context(), r.current(), 20*time.Millisecond) {
		t.Error("a running process is reported as replaced")
	}
	if err := r.end(); err != nil {
		t.Error(err)
	}
	if f := at.fleet; f.started != 21 || f.kills != 20 || f.exits != 0 {
		t.Errorf("%d started, %d killed, %d ended by themselves", f.started, f.kills, f.exits)
	}
}

// Growth above the limits is a leak, and smaller growth is not.
func TestGrowth(t *testing.T) {
	before := gauge{goroutines: 100, resident: 60 << 20, heap: 20 << 20}
	for name, row := range map[string]struct {
		after gauge
		want  bool
	}{
		"none":           {before, false},
		"as much as may": {gauge{100 + moreGoroutines, 60<<20 + moreMemory, 20 << 20}, false},
		"smaller":        {gauge{80, 50 << 20, 10 << 20}, false},
		"goroutines":     {gauge{101 + moreGoroutines, 60 << 20, 20 << 20}, true},
		"memory":         {gauge{100, 61<<20 + moreMemory, 20 << 20}, true},
	} {
		if got := (growth{before, row.after}).tooMuch(); got != row.want {
			t.Errorf("%s: %t, want %t", name, got, row.want)
		}
	}
}

// The offset can be added to the time package of this Go version. It is an error if the source differs from what is expected.
func TestOffset(t *testing.T) {
	source, err := os.ReadFile(filepath.Join(runtime.GOROOT(), "src", "time", "time.go")) //nolint:staticcheck // the tests run where Go is
	if err != nil {
		t.Skip("Go's sources are not here: " + err.Error())
	}
	changed, err := withOffset(string(source))
	if err != nil || !strings.Contains(changed, "sec += wallOffset.Load()") {
		t.Errorf("%v", err)
	}
	if _, err := withOffset(changed + "\tsec, nsec, mono := runtimeNow()\n"); err == nil {
		t.Error("a source with two places to change is accepted")
	}
}

func TestDiceAreRepeatable(t *testing.T) {
	a, b, other := dice(7, 1), dice(7, 1), dice(8, 1)
	same, differ := true, false
	for range 20 {
		x := a.Uint64()
		same, differ = same && x == b.Uint64(), differ || x != other.Uint64()
	}
	if !same || !differ {
		t.Errorf("the same: %v, another seed's differ: %v", same, differ)
	}
}

// Too many failed calls are a violation, and the table has the result of each fault.
func TestTables(t *testing.T) {
	c := &chaos{environment: &environment{observer: observer.New(time.Second, time.Minute)}, began: time.Now(), rows: []row{{"a fault", 3, 1500 * time.Millisecond}}}
	c.observer.Begins("a fault")
	c.allowance.judge(c.environment, "a fault", 100, 10*time.Second)
	if len(c.observer.Violations()) != 0 {
		t.Error("a hundred failed calls are a violation")
	}
	c.allowance.judge(c.environment, "a fault", 100_000, 10*time.Second)
	c.violations = len(c.observer.Violations())
	tables := c.faultTable()
	if want := "| a fault | 3 | 1.5 s | 1 |"; !strings.Contains(tables, want) || c.violations != 1 {
		t.Errorf("%d violations, printed %s", c.violations, tables)
	}
	page := filepath.Join(t.TempDir(), "page.md")
	if err := writeInto(page, "chaos", tables); err == nil {
		t.Error("a page that does not exist is accepted")
	}
	if err := os.WriteFile(page, []byte("a\n<!-- chaos: begin -->\nold\n<!-- chaos: end -->\nz\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time in place of the first
		if err := writeInto(page, "chaos", tables); err != nil {
			t.Fatal(err)
		}
	}
	if text, _ := os.ReadFile(page); string(text) != "a\n<!-- chaos: begin -->\n\n"+tables+"\n<!-- chaos: end -->\nz\n" {
		t.Errorf("wrote %s", text)
	}
}
