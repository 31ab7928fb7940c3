// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/prometheus/procfs"

	"github.com/stscredential/sts-credential-operator/hack/controlplane"
	"github.com/stscredential/sts-credential-operator/hack/process"
	"github.com/stscredential/sts-credential-operator/test/fixture"
)

// manager is a process of the manager.
type manager struct {
	*process.Process
	proc    procfs.Proc
	metrics string // host:port
	pprof   string // host:port
	started time.Time
}

// flags returns the flags of the manager, without addresses.
func (s settings) flags() []string {
	return []string{
		fmt.Sprintf("--max-concurrent-reconciles=%d", s.workers),
		fmt.Sprintf("--kube-api-qps=%d", s.qps), fmt.Sprintf("--kube-api-burst=%d", s.qps),
		"--sts-qps=10000", "--sts-burst=10000", "--leader-elect=false", "--metrics-secure=false",
	}
}

// startManager starts a new process, and waits until it serves its metrics, which is before it reconciles.
func (env *environment) startManager(ctx context.Context) error {
	config, err := env.plane.OperatorConfig()
	if err != nil {
		return err
	}
	path := filepath.Join(env.dir, "manager.kubeconfig")
	if err := controlplane.WriteKubeconfig(path, config); err != nil {
		return err
	}
	addresses, err := process.FreeAddresses(ctx, "127.0.0.1", 2)
	if err != nil {
		return err
	}
	cmd := exec.Command(env.binary(), append(env.flags(), //nolint:noctx // it is stopped in order, not by a context
		"--sts-endpoint="+env.server.URL, "--metrics-bind-address="+addresses[0], "--health-probe-bind-address=0")...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+path, "ALIBABA_CLOUD_ACCESS_KEY_ID="+env.key.ID,
		"ALIBABA_CLOUD_ACCESS_KEY_SECRET="+env.key.Secret, "PPROF_ADDRESS="+addresses[1])
	env.starts++
	m := &manager{metrics: addresses[0], pprof: addresses[1], started: time.Now()}
	if m.Process, err = process.Start(fmt.Sprintf("manager-%d-%d", os.Getpid(), env.starts), env.dir, cmd); err != nil {
		return err
	}
	env.manager = m
	if m.proc, err = procfs.NewProc(m.ID()); err != nil {
		return err
	}
	return m.Wait(ctx, func(ctx context.Context) error { return m.reconciled(ctx, 0) })
}

// stopManager stops the process.
func (env *environment) stopManager() error {
	m := env.manager
	env.manager = nil
	return m.stop()
}

func (m *manager) stop() error { return m.Stop() }

// usage is the CPU time and the memory of a process.
type usage struct {
	CPU       time.Duration
	RSS, Peak int // bytes
}

func (m *manager) usage() (usage, error) { return usageOf(m.proc) }

func usageOf(proc procfs.Proc) (usage, error) {
	stat, err := proc.Stat()
	if err != nil {
		return usage{}, err
	}
	status, err := proc.NewStatus()
	if err != nil {
		return usage{}, err
	}
	return usage{CPU: time.Duration(stat.CPUTime() * float64(time.Second)), RSS: int(status.VmRSS), Peak: int(status.VmHWM)}, nil
}

const (
	// A manager is idle when it uses less than restCPU in restTime.
	restTime = time.Second
	restCPU  = 30 * time.Millisecond
)

// rest waits until the manager is idle. It returns since when, and the usage at that time.
func (m *manager) rest(ctx context.Context) (since time.Time, used usage, err error) {
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	if used, err = m.usage(); err != nil {
		return since, used, err
	}
	since = time.Now()
	for time.Since(since) < restTime {
		select {
		case <-ctx.Done():
			return since, used, context.Cause(ctx)
		case <-ticker.C:
		}
		now, err := m.usage()
		if err != nil {
			return since, used, err
		}
		if now.CPU-used.CPU >= restCPU {
			since, used = time.Now(), now
		}
	}
	return since, used, nil
}

// scrape reads the metrics. It costs CPU time of the manager, so call it outside of measurements.
func (m *manager) scrape(ctx context.Context) (map[string]float64, error) {
	return fixture.Metrics(ctx, m.metrics)
}

// reconciled returns an error until there were n reconciles at least, and the queue is empty.
func (m *manager) reconciled(ctx context.Context, n int) error {
	got, err := m.scrape(ctx)
	if err != nil {
		return err
	}
	if got["controller_runtime_reconcile_total"] < float64(n) || got["workqueue_depth"]+got["controller_runtime_active_workers"] > 0 {
		return fmt.Errorf("the manager has made %v reconciles for %d credentials, and %v wait", got["controller_runtime_reconcile_total"], n, got["workqueue_depth"])
	}
	return nil
}
