// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command bench compares the operator with a baseline: a plain loop that makes the same call to STS, and writes the same Secret and
// the same status, on the same kind of control plane. It starts a real etcd and kube-apiserver, an emulated STS that answers after
// 20 ms, and the manager as a separate process. It prints tables, and writes them with a plot to docs/performance.md. Afterwards it
// removes everything that it started.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/stscredential/sts-credential-operator/hack/controlplane"
)

// settings are the values of the flags, as --short changes them.
type settings struct {
	sizes                    []int
	rounds                   int
	workers, qps             int
	latency                  time.Duration
	renewing, renewalRate    int
	renewalTime, idleTime    time.Duration
	unrelated, unrelatedSize int
	limit                    time.Duration
	root, profiles           string
	short, write, onlyAgent  bool
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctrl.SetLogger(logr.Discard()) // controller-runtime logs nothing here
	s, err := parse(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err == nil {
		err = run(ctx, s)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func parse(arguments []string) (s settings, err error) {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	sizes := flags.String("sizes", "1000,4000,10000", "Numbers of credentials, separated by commas, smallest first")
	flags.IntVar(&s.rounds, "rounds", 3, "Number of rounds for each first issuance; the fastest counts")
	flags.IntVar(&s.workers, "workers", 32, "Number of workers of the manager and of the baseline")
	flags.IntVar(&s.qps, "kube-api-qps", 500, "Maximum number of requests per second of a client of the API server, and its burst")
	flags.DurationVar(&s.latency, "latency", 20*time.Millisecond, "Latency of STS")
	flags.IntVar(&s.renewing, "renewing", 5000, "Number of credentials of the largest size that are renewed")
	flags.IntVar(&s.renewalRate, "renewal-rate", 100, "Renewals per second")
	flags.DurationVar(&s.renewalTime, "renewal-time", 2*time.Minute, "Duration of the measurement of renewals")
	flags.DurationVar(&s.idleTime, "idle-time", 20*time.Second, "Duration of the measurement while nothing is due")
	flags.IntVar(&s.unrelated, "unrelated", 10000, "Number of Secrets of other owners; 0 to skip this measurement")
	flags.IntVar(&s.unrelatedSize, "unrelated-size", 10<<10, "Size of each of these Secrets, in bytes")
	flags.DurationVar(&s.limit, "limit", time.Hour, "Maximum duration of the whole run")
	flags.StringVar(&s.profiles, "profiles", "", "Folder for CPU and heap profiles of the manager, which is then built with the tag pprof; profiles slow it down")
	flags.BoolVar(&s.short, "short", false, "Check that the benchmark works: small numbers, about five minutes in total, no file written")
	flags.BoolVar(&s.onlyAgent, "agent", false, "Measure only the agent, and replace only its section in docs/performance.md")
	flags.BoolVar(&s.write, "write", true, "Write docs/performance.md and the plot")
	if err := flags.Parse(arguments); err != nil {
		return s, err
	}
	for size := range strings.SplitSeq(*sizes, ",") {
		n, err := strconv.Atoi(size)
		if err != nil || n < 1 {
			return s, fmt.Errorf("--sizes: %q is not a number of credentials. Write numbers separated by commas", size)
		}
		s.sizes = append(s.sizes, n)
	}
	if s.short {
		s.sizes, s.rounds, s.unrelated, s.renewing, s.renewalRate, s.write = []int{50, 150}, 1, 50, 200, 10, false
		s.renewalTime, s.idleTime = 10*time.Second, 3*time.Second
	}
	s.renewing = min(s.renewing, s.sizes[len(s.sizes)-1])
	if err := s.check(); err != nil {
		return s, err
	}
	s.root, err = controlplane.RepositoryRoot()
	return s, err
}

// check returns an error if the settings allow no measurement.
func (s settings) check() error {
	switch {
	case s.rounds < 1 || s.workers < 1 || s.qps < 1 || s.renewalRate < 1:
		return errors.New("--rounds, --workers, --kube-api-qps and --renewal-rate must be at least 1")
	case s.renewing < 10*s.renewalRate: // the operator limits more frequent renewals
		return errors.New("--renewing and the last of --sizes must be at least ten times --renewal-rate: " +
			"no credential is renewed more than once in ten seconds")
	}
	return nil
}

// run measures everything, prints and saves the results, and stops what it started.
func run(ctx context.Context, s settings) (err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, s.limit, fmt.Errorf("the run took longer than --limit, %s", s.limit))
	defer cancel()
	b := &bench{settings: s, began: time.Now()}
	if b.dir, err = os.MkdirTemp("", "bench-*"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()
	if err := b.measure(ctx); err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		b.results.Missing = err.Error()
	}
	b.results.Took = time.Since(b.began)
	if b.onlyAgent && b.results.Missing == "" {
		fmt.Println()
		fmt.Print(b.results.tables())
		if s.write {
			return b.results.saveAgent(filepath.Join(s.root, "docs"))
		}
		return nil
	}
	if len(b.results.Sizes) > 0 { // a run that ended early has results, too
		fmt.Println()
		fmt.Print(b.results.tables())
		if s.write {
			err = b.results.save(filepath.Join(s.root, "docs"))
		}
	}
	if b.results.Missing != "" {
		err = errors.Join(errors.New(b.results.Missing), err)
	}
	return err
}
