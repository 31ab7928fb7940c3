// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"
)

const (
	// startTimeout bounds the wait for one component; a busy CI machine needs tens of seconds for kube-apiserver.
	startTimeout = 2 * time.Minute
	// stopTimeout is how long a component may take to end before it is killed.
	stopTimeout = 10 * time.Second
)

// process is one running component, with its output in a file.
type process struct {
	name  string
	log   string
	cmd   *exec.Cmd
	grace time.Duration // to end by itself when stopped
	done  chan struct{} // closed once it has ended
	err   error         // how it ended; to be read after done
}

func startProcess(path, dir string, args ...string) (*process, error) {
	name := filepath.Base(path)
	p := &process{
		name:  name,
		log:   filepath.Join(dir, name+".log"),
		cmd:   exec.Command(path, args...), //nolint:noctx // they are stopped in order, not by a context
		grace: stopTimeout,
		done:  make(chan struct{}),
	}
	output, err := os.Create(p.log)
	if err != nil {
		return nil, err
	}
	defer func() { _ = output.Close() }()
	p.cmd.Stdout, p.cmd.Stderr = output, output
	p.cmd.SysProcAttr = attributes()
	started := make(chan error)
	go p.run(started)
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	return p, nil
}

// run holds on to its thread until the program has ended: Linux ties the end of a child to that of the thread which
// started it, not to that of the process (see attributes).
func (p *process) run(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(p.done)
	err := p.cmd.Start()
	started <- err
	if err == nil {
		p.err = p.cmd.Wait()
	}
}

// wait polls until the component is ready. Its error carries the end of the component's log.
func (p *process) wait(ctx context.Context, ready func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		notYet := ready(ctx)
		if notYet == nil {
			return nil
		}
		select {
		case <-p.done:
			return fmt.Errorf("%s ended before it was ready: %w\n%s", p.name, p.exit(), p.logTail())
		case <-ctx.Done():
			return fmt.Errorf("%s did not become ready: %w: %w\n%s", p.name, context.Cause(ctx), notYet, p.logTail())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// stop ends the component and returns once it is gone. It is an error if it was gone before.
func (p *process) stop() error {
	select {
	case <-p.done:
		return fmt.Errorf("%s had ended by itself: %w\n%s", p.name, p.exit(), p.logTail())
	default:
	}
	// Where a signal cannot be sent, the process is about to end or the platform knows none: killing serves both.
	if p.cmd.Process.Signal(syscall.SIGTERM) == nil {
		select {
		case <-p.done:
			return nil
		case <-time.After(p.grace):
		}
	}
	_ = p.cmd.Process.Kill()
	<-p.done
	return nil
}

func (p *process) exit() error {
	if p.err == nil {
		return errors.New("exit status 0")
	}
	return p.err
}

func (p *process) logTail() string {
	content, err := os.ReadFile(p.log)
	if err != nil {
		return "its log cannot be read: " + err.Error()
	}
	return lastLines(string(content), 15)
}
