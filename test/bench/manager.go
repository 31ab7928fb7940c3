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

// manager is a running one.
type manager struct {
	*process.Process
	proc    procfs.Proc
	metrics string // host:port
	pprof   string // host:port
	started time.Time
}

// flags of the manager, but for addresses.
func (s settings) flags() []string {
	return []string{
		fmt.Sprintf("--max-concurrent-reconciles=%d", s.workers),
		fmt.Sprintf("--kube-api-qps=%d", s.qps), fmt.Sprintf("--kube-api-burst=%d", s.qps),
		"--sts-qps=10000", "--sts-burst=10000", "--leader-elect=false", "--metrics-secure=false",
	}
}

// startManager starts a new process and waits until it serves its metrics, which is before it works.
func (s *site) startManager(ctx context.Context) error {
	config, err := s.plane.OperatorConfig()
	if err != nil {
		return err
	}
	path := filepath.Join(s.dir, "manager.kubeconfig")
	if err := controlplane.WriteKubeconfig(path, config); err != nil {
		return err
	}
	addresses, err := process.FreeAddresses(ctx, "127.0.0.1", 2)
	if err != nil {
		return err
	}
	cmd := exec.Command(s.binary(), append(s.flags(), //nolint:noctx // it is stopped in order, not by a context
		"--sts-endpoint="+s.server.URL, "--metrics-bind-address="+addresses[0], "--health-probe-bind-address=0")...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+path, "ALIBABA_CLOUD_ACCESS_KEY_ID="+s.key.ID,
		"ALIBABA_CLOUD_ACCESS_KEY_SECRET="+s.key.Secret, "PPROF_ADDRESS="+addresses[1])
	s.starts++
	m := &manager{metrics: addresses[0], pprof: addresses[1], started: time.Now()}
	if m.Process, err = process.Start(fmt.Sprintf("manager-%d-%d", os.Getpid(), s.starts), s.dir, cmd); err != nil {
		return err
	}
	s.manager = m
	if m.proc, err = procfs.NewProc(m.ID()); err != nil {
		return err
	}
	return m.Wait(ctx, func(ctx context.Context) error { return m.settled(ctx, 0) })
}

// stopManager ends it.
func (s *site) stopManager() error {
	m := s.manager
	s.manager = nil
	return m.stop()
}

func (m *manager) stop() error { return m.Stop() }

// usage is what the process has used and holds.
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
	// A manager is at rest when it uses less than restCPU in restTime.
	restTime = time.Second
	restCPU  = 30 * time.Millisecond
)

// rest waits until the manager has nothing to do and tells since when, and what it had used then.
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

// scrape reads its metrics. It makes work, so it stays out of what is measured.
func (m *manager) scrape(ctx context.Context) (map[string]float64, error) {
	return fixture.Metrics(ctx, m.metrics)
}

// settled tells whether it has looked at n credentials at least, and waits for nothing.
func (m *manager) settled(ctx context.Context, n int) error {
	got, err := m.scrape(ctx)
	if err != nil {
		return err
	}
	if got["controller_runtime_reconcile_total"] < float64(n) || got["workqueue_depth"]+got["controller_runtime_active_workers"] > 0 {
		return fmt.Errorf("the manager has made %v passes over %d credentials, and %v wait", got["controller_runtime_reconcile_total"], n, got["workqueue_depth"])
	}
	return nil
}
