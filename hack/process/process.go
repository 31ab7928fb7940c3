// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package process runs programs that end with this one, each with its output in a file.
package process

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

const (
	// startTimeout bounds the wait for one program; a busy CI machine needs tens of seconds for kube-apiserver.
	startTimeout = 2 * time.Minute
	// stopTimeout is how long a program may take to end before it is killed.
	stopTimeout = 10 * time.Second
)

// Process is a program that was started.
type Process struct {
	name string
	log  string
	cmd  *exec.Cmd
	done chan struct{} // closed once it has ended
}

// Start starts the command, whose output goes to <name>.log in the folder. On Linux it ends with this process, however
// that comes about; elsewhere unless this process is killed.
func Start(name, dir string, cmd *exec.Cmd) (*Process, error) {
	p := &Process{
		name: name,
		log:  filepath.Join(dir, name+".log"),
		cmd:  cmd,
		done: make(chan struct{}),
	}
	output, err := os.Create(p.log)
	if err != nil {
		return nil, err
	}
	defer func() { _ = output.Close() }()
	cmd.Stdout, cmd.Stderr = output, output
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	bind(cmd.SysProcAttr)
	started := make(chan error)
	go p.run(started)
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	return p, nil
}

// run holds on to its thread until the program has ended: Linux ties the end of a child to that of the thread which
// started it, not to that of the process (see bind).
func (p *Process) run(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(p.done)
	err := p.cmd.Start()
	started <- err
	if err == nil {
		_ = p.cmd.Wait() // its ProcessState says how it ended
	}
}

// Name is the name that it was started under.
func (p *Process) Name() string { return p.name }

// ID is its process id.
func (p *Process) ID() int { return p.cmd.Process.Pid }

// Done is closed once it has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Wait polls until the program is ready. Its error carries the end of the log.
func (p *Process) Wait(ctx context.Context, ready func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		notYet := ready(ctx)
		if notYet == nil {
			return nil
		}
		select {
		case <-p.done:
			return fmt.Errorf("%s ended before it was ready: %s\n%s", p.name, p.cmd.ProcessState, p.logTail())
		case <-ctx.Done():
			return fmt.Errorf("%s did not become ready: %w: %w\n%s", p.name, context.Cause(ctx), notYet, p.logTail())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// Stop ends the program and returns once it is gone. It is an error if it was gone before.
func (p *Process) Stop() error { return p.StopWithin(stopTimeout) }

// StopWithin does so too, and kills the program if it takes longer than grace to end.
func (p *Process) StopWithin(grace time.Duration) error {
	select {
	case <-p.done:
		return fmt.Errorf("%s had ended by itself: %s\n%s", p.name, p.cmd.ProcessState, p.logTail())
	default:
	}
	// Where a signal cannot be sent, the process is about to end or the platform knows none: killing serves both.
	if p.cmd.Process.Signal(syscall.SIGTERM) == nil {
		select {
		case <-p.done:
			return nil
		case <-time.After(grace):
		}
	}
	_ = p.cmd.Process.Kill()
	<-p.done
	return nil
}

// Kill ends the program as a crash does, and returns once it is gone.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill() // which fails only if it is gone already
	<-p.done
}

func (p *Process) logTail() string {
	content, err := os.ReadFile(p.log)
	if err != nil {
		return "its log cannot be read: " + err.Error()
	}
	return LastLines(string(content), 15)
}

// LastLines returns the end of a text, for errors.
func LastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
