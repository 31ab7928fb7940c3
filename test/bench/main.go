// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command bench measures the operator against the floor: what a plain loop takes that makes the same call to STS, the same
// Secret and the same status, on a control plane like it. It starts a real etcd and kube-apiserver, an emulated STS that
// answers after 20 ms, and the manager as a process of its own, prints tables, and writes them to docs/performance.md,
// with a plot. It ends by itself and leaves nothing behind.
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

// settings are the flags, and what --short makes of them.
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
	sizes := flags.String("sizes", "1000,4000,10000", "numbers of credentials, separated by commas, smallest first")
	flags.IntVar(&s.rounds, "rounds", 3, "Number of rounds for each first issuance; the fastest counts")
	flags.IntVar(&s.workers, "workers", 32, "Number of workers of the manager and of the baseline")
	flags.IntVar(&s.qps, "kube-api-qps", 500, "requests per second that a client of the API server may make; the burst is the same")
	flags.DurationVar(&s.latency, "latency", 20*time.Millisecond, "what STS takes to answer")
	flags.IntVar(&s.renewing, "renewing", 5000, "credentials that are renewed, of the largest size")
	flags.IntVar(&s.renewalRate, "renewal-rate", 100, "renewals per second")
	flags.DurationVar(&s.renewalTime, "renewal-time", 2*time.Minute, "how long renewals are watched")
	flags.DurationVar(&s.idleTime, "idle-time", 20*time.Second, "how long the manager is watched while nothing is due")
	flags.IntVar(&s.unrelated, "unrelated", 10000, "Secrets of others; 0 leaves them out")
	flags.IntVar(&s.unrelatedSize, "unrelated-size", 10<<10, "bytes in each of them")
	flags.DurationVar(&s.limit, "limit", time.Hour, "give up after this time")
	flags.StringVar(&s.profiles, "profiles", "", "folder for CPU and heap profiles of the manager, which then is built with the tag pprof; they slow it down")
	flags.BoolVar(&s.short, "short", false, "Check that the benchmark works: small numbers, about five minutes in total, no file written")
	flags.BoolVar(&s.onlyAgent, "agent", false, "Measure only the agent, and replace only its section in docs/performance.md")
	flags.BoolVar(&s.write, "write", true, "write docs/performance.md and the plot")
	if err := flags.Parse(arguments); err != nil {
		return s, err
	}
	for size := range strings.SplitSeq(*sizes, ",") {
		n, err := strconv.Atoi(size)
		if err != nil || n < 1 {
			return s, fmt.Errorf("--sizes: %q is no number of credentials: write numbers separated by commas", size)
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

// check refuses what cannot be measured.
func (s settings) check() error {
	switch {
	case s.rounds < 1 || s.workers < 1 || s.qps < 1 || s.renewalRate < 1:
		return errors.New("--rounds, --workers, --kube-api-qps and --renewal-rate must be at least 1")
	case s.renewing < 10*s.renewalRate: // the operator paces what comes oftener
		return errors.New("--renewing and the last of --sizes must be at least ten times --renewal-rate: " +
			"no credential is renewed more than once in ten seconds")
	}
	return nil
}

// run measures everything, tells it, and ends what it started.
func run(ctx context.Context, s settings) (err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, s.limit, fmt.Errorf("more than %s, the --limit, have passed", s.limit))
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
	if len(b.results.Sizes) > 0 { // if it ended early, what was measured until then is told all the same
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
