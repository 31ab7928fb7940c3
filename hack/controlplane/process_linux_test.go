// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
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
		p, err := startProcess(script(t, dir, "exec sleep 600"), dir)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Println("pid", p.cmd.Process.Pid)
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
	eventually(t, 5*time.Second, "the child is gone", func() bool { return !alive(pid) })
}

func TestStopKillsWhatDoesNotEnd(t *testing.T) {
	dir := t.TempDir()
	p, err := startProcess(script(t, dir, "trap '' TERM; echo ready; while true; do sleep 1; done"), dir)
	if err != nil {
		t.Fatal(err)
	}
	ready := func(context.Context) error {
		if p.logTail() == "ready" {
			return nil
		}
		return errors.New("trap not set")
	}
	if err := p.wait(t.Context(), ready); err != nil {
		t.Fatal(err)
	}
	p.grace = 100 * time.Millisecond
	if err := p.stop(); err != nil {
		t.Error(err)
	}
	if alive(p.cmd.Process.Pid) {
		t.Error("it is still running")
	}
}

func TestEndOfComponentCarriesItsLog(t *testing.T) {
	dir := t.TempDir()
	p, err := startProcess(script(t, dir, "echo 'flag nonsense is unknown'; exit 3"), dir)
	if err != nil {
		t.Fatal(err)
	}
	never := func(context.Context) error { return errors.New("not ready") }
	for what, err := range map[string]error{"wait": p.wait(t.Context(), never), "stop": p.stop()} {
		if !errorContains(err, "exit status 3\nflag nonsense is unknown") {
			t.Errorf("%s: got %v; want the exit status and the log", what, err)
		}
	}
}

func script(t *testing.T, dir, body string) string {
	t.Helper()
	path := filepath.Join(dir, "component")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+body+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

// alive tells whether a process runs. One that has ended but was not waited for does not.
func alive(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(stat), ") Z ")
}
