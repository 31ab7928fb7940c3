// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package process

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// parentVariable turns this test's executable into a parent that starts a child, prints its pid, and lives on.
const parentVariable = "CONTROLPLANE_TEST_PARENT"

func TestKilledParentLeavesNoOrphan(t *testing.T) {
	if dir := os.Getenv(parentVariable); dir != "" {
		p, err := Start("component", dir, script("exec sleep 600"))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Println("pid", p.ID())
		select {}
	}
	parent := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$")
	parent.Env = append(os.Environ(), parentVariable+"="+t.TempDir())
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(strings.TrimPrefix(line, "pid ")))
	if err != nil {
		t.Fatal(err)
	}
	if !alive(pid) {
		t.Fatalf("the child %d should be running", pid)
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait()
	for deadline := time.Now().Add(5 * time.Second); alive(pid); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the child is still there")
		}
	}
}

func TestStopKillsWhatDoesNotEnd(t *testing.T) {
	dir := t.TempDir()
	p, err := Start("component", dir, script("trap '' TERM; echo ready; while true; do sleep 1; done"))
	if err != nil {
		t.Fatal(err)
	}
	ready := func(context.Context) error {
		if p.logTail() == "ready" {
			return nil
		}
		return errors.New("trap not set")
	}
	if err := p.Wait(t.Context(), ready); err != nil {
		t.Fatal(err)
	}
	if err := p.StopWithin(100 * time.Millisecond); err != nil {
		t.Error(err)
	}
	if alive(p.ID()) {
		t.Error("it is still running")
	}
}

func TestEndOfComponentCarriesItsLog(t *testing.T) {
	dir := t.TempDir()
	p, err := Start("component", dir, script("echo 'flag nonsense is unknown'; exit 3"))
	if err != nil {
		t.Fatal(err)
	}
	never := func(context.Context) error { return errors.New("not ready") }
	for what, err := range map[string]error{"wait": p.Wait(t.Context(), never), "stop": p.Stop()} {
		if err == nil || !strings.Contains(err.Error(), "exit status 3\nflag nonsense is unknown") {
			t.Errorf("%s: got %v; want the exit status and the log", what, err)
		}
	}
}

func script(body string) *exec.Cmd { return exec.Command("sh", "-c", body) }

// alive reports whether a process runs. One that has ended but was not waited for does not.
func alive(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(stat), ") Z ")
}
