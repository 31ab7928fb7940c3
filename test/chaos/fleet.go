// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/stscredential/sts-credential-operator/hack/process"
	"github.com/stscredential/sts-credential-operator/test/fixture"
)

// workers is --max-concurrent-reconciles: the maximum number of sessions that are lost with a killed replica.
const workers = 8

// replica is a process of the operator that is started again whenever it ends, as the kubelet does.
type replica struct {
	*fleet
	name, metrics       string
	program, kubeconfig string
	flags, env          []string

	mu      sync.Mutex
	process *process.Process
	wanted  bool
	starts  int
	killed  bool // by kill, the last time
	over    chan struct{}
}

// fleet is what all replicas share, and counts their processes.
type fleet struct {
	environment *environment
	dir         string

	mu                    sync.Mutex
	started, kills, exits int // processes that were started, killed, and that ended by themselves
}

// run starts a replica and keeps it running.
func (f *fleet) run(ctx context.Context, name, program, kubeconfig string, flags ...string) (*replica, error) {
	return f.runWith(ctx, nil, name, program, kubeconfig, flags...)
}

// runWith does the same with additional environment variables.
func (f *fleet) runWith(ctx context.Context, env []string, name, program, kubeconfig string, flags ...string) (*replica, error) {
	metrics, err := process.FreeAddress(ctx)
	if err != nil {
		return nil, err
	}
	r := &replica{fleet: f, name: name, program: program, kubeconfig: kubeconfig, metrics: metrics, env: env, wanted: true, over: make(chan struct{}), flags: append([]string{
		"--sts-endpoint=http://" + f.environment.sts.address, "--sts-timeout=3s", "--sts-qps=50", "--sts-burst=50",
		"--metrics-bind-address=" + metrics, "--metrics-secure=false", "--health-probe-bind-address=0",
		fmt.Sprint("--max-concurrent-reconciles=", workers), "--zap-log-level=debug",
	}, flags...)}
	if err := r.start(); err != nil {
		return nil, err
	}
	go r.supervise(ctx)
	return r, r.wait(ctx)
}

func (r *replica) start() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.starts++
	cmd := exec.Command(r.program, r.flags...) //nolint:noctx // it is stopped in order, not by a context
	cmd.Env = slices.Concat(os.Environ(), []string{
		"KUBECONFIG=" + r.kubeconfig, "CHAOS_CLOCK=" + r.environment.clockFile(),
		"ALIBABA_CLOUD_ACCESS_KEY_ID=" + r.environment.sts.key.ID, "ALIBABA_CLOUD_ACCESS_KEY_SECRET=" + r.environment.sts.key.Secret,
	}, r.env)
	p, err := process.Start(fmt.Sprintf("%s-%03d", r.name, r.starts), r.dir, cmd)
	if err != nil {
		return err
	}
	r.process = p
	r.fleet.mu.Lock()
	r.started++
	r.fleet.mu.Unlock()
	return nil
}

// supervise starts the process again, until it is not wanted any more.
func (r *replica) supervise(ctx context.Context) {
	defer close(r.over)
	for {
		<-r.current().Done()
		r.mu.Lock()
		wanted, killed := r.wanted, r.killed
		r.killed = false
		r.mu.Unlock()
		if !wanted || ctx.Err() != nil {
			return
		}
		r.fleet.mu.Lock()
		if killed {
			r.kills++
		} else {
			r.exits++
		}
		r.fleet.mu.Unlock()
		if err := r.start(); err != nil {
			r.environment.observer.Violate(time.Now(), "the operator cannot be started: "+err.Error())
			return
		}
	}
}

func (r *replica) current() *process.Process {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.process
}

// kill ends the process at once, and returns once it has been started again.
func (r *replica) kill(ctx context.Context) { r.restart(ctx, (*process.Process).Kill) }

// restart ends the process, and returns once it has been started again.
func (r *replica) restart(ctx context.Context, end func(*process.Process)) {
	r.mu.Lock()
	p := r.process
	r.killed = true
	r.mu.Unlock()
	end(p)
	r.replaced(ctx, p, time.Minute)
}

// replaced waits until another process has taken the place of a former one, and reports whether it has within the time.
func (r *replica) replaced(ctx context.Context, former *process.Process, within time.Duration) bool {
	for end := time.Now().Add(within); r.current() == former; pause(ctx, 10*time.Millisecond) {
		if ctx.Err() != nil || time.Now().After(end) {
			return false
		}
	}
	return true
}

// freeze stops the process from running, and thaw lets it go on.
func (r *replica) freeze() error { return syscall.Kill(r.current().ID(), syscall.SIGSTOP) }
func (r *replica) thaw() error   { return syscall.Kill(r.current().ID(), syscall.SIGCONT) }

// end stops the replica with SIGTERM, and does not start it again.
func (r *replica) end() error {
	r.mu.Lock()
	p := r.process
	r.wanted = false
	r.mu.Unlock()
	err := p.Stop()
	<-r.over
	return err
}

// wait waits until the process serves its metrics, which it does as leader and as standby.
func (r *replica) wait(ctx context.Context) error {
	return r.current().Wait(ctx, func(ctx context.Context) error {
		_, err := r.scrape(ctx)
		return err
	})
}

// leads reports whether this replica holds the lease.
func (r *replica) leads(ctx context.Context) bool {
	values, err := r.scrape(ctx)
	return err == nil && values["leader_election_master_status"] == 1
}

// scrape reads the metrics, summed up over their labels.
func (r *replica) scrape(ctx context.Context) (map[string]float64, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	return fixture.Metrics(ctx, r.metrics)
}

// scanLogs searches the logs of the replicas for secret values.
func (f *fleet) scanLogs() (files int, size int64, leaks []string, err error) {
	all := f.environment.observer.Leaks(f.environment.sts.key.Secret)
	logs, err := filepath.Glob(filepath.Join(f.dir, "*.log"))
	for _, path := range logs {
		text, readErr := os.ReadFile(path)
		err = errors.Join(err, readErr)
		files, size = files+1, size+int64(len(text))
		if at := all.In(text); at >= 0 {
			leaks = append(leaks, fmt.Sprintf("%s, at byte %d", filepath.Base(path), at))
		}
	}
	return files, size, leaks, err
}
