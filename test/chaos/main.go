// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command chaos injects faults, while an independent observer checks every version of every Secret. It ends with status 1 if a
// guarantee was violated. The operator is the built program, the API server and etcd are real, and STS is emulated. Sessions live
// for a minute and a half, so that many lifetimes fit into a run.
//
// A second scenario has a separate control plane. A hostile tenant fills its quotas with the largest objects that the API server
// accepts, and edits them all the time. Meanwhile the operator's memory is measured, and credentials of another namespace must be
// issued and renewed on time.
//
// It prints the results as tables in Markdown. With -short it injects every fault a few times, which takes a few minutes.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/stscredential/sts-credential-operator/hack/controlplane"
)

// lifetime of sessions. A third of it must outlast the 15 s for which a lease holds after its holder was killed.
const lifetime = 90 * time.Second

// recovery is the maximum time between the end of a fault and recovery: a minute, the longest interval between two retries, and the
// time in which a lease changes its holder.
const recovery = 75 * time.Second

func main() { os.Exit(run()) }

func run() int {
	short := flag.Bool("short", false, "Inject every fault a few times only")
	seed := flag.Uint64("seed", uint64(time.Now().UnixNano()), "Seed of the random numbers; a run prints its seed")
	root := flag.String("root", ".", "Root of the repository")
	scenario := flag.String("scenario", "", "Run only this scenario: faults or tenant. Default: both")
	profiles := flag.String("profiles", "", "Folder for heap profiles of the operator beside the hostile tenant")
	only := flag.String("faults", "", "Inject only faults whose names match this regular expression")
	write := flag.String("write", "", "Markdown page to write the tables to, between its comments \"chaos: begin\" and \"chaos: end\", and \"tenant: begin\" and \"tenant: end\"")
	flag.Parse()
	ctrl.SetLogger(logr.Discard())
	klog.SetLogger(logr.Discard()) // its errors come from injected faults
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, 45*time.Minute)
	defer cancel()

	c := &chaos{out: os.Stdout, page: *write, profiles: *profiles, long: !*short, seed: *seed, began: time.Now()}
	path, err := filepath.Abs(*root)
	if err == nil {
		c.only, err = regexp.Compile(*only)
	}
	if err == nil {
		err = c.scenarios(ctx, path, *scenario)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		return 1
	}
	if c.violations > 0 {
		return 1
	}
	return 0
}

// chaos is one run.
type chaos struct {
	*environment
	out      io.Writer
	only     *regexp.Regexp
	page     string // a file that the tables are written to; empty: none
	profiles string // a folder for heap profiles; empty: none
	long     bool
	seed     uint64
	began    time.Time

	rows       []row
	allowance  allowance
	growth     growth
	attacks    []attackRow
	violations int
	printed    int // how many of them are printed already
}

// scenarios runs the one of this name, or both.
func (c *chaos) scenarios(ctx context.Context, root, name string) error {
	if name != "" && name != "faults" && name != "tenant" {
		return fmt.Errorf("unknown scenario %q: choose faults or tenant", name)
	}
	_, _ = fmt.Fprintf(c.out, "seed %d\n", c.seed)
	if name != "faults" {
		if err := c.attacked(ctx, root); err != nil {
			return err
		}
	}
	if name == "tenant" {
		return nil
	}
	return c.play(ctx, root)
}

// play injects all faults and prints the tables.
func (c *chaos) play(ctx context.Context, root string) (err error) {
	c.note("starting the control plane and building the operator, unchanged and with a clock that can be changed")
	c.environment, err = newEnvironment(ctx, root, environmentOptions{
		lifetime: lifetime, calm: available, recovery: recovery,
		namespaces: []string{calmNamespace, editedNamespace, churnNamespace}, plane: controlplane.Options{ControllerManager: true},
	})
	if c.environment == nil {
		return err
	}
	defer func() {
		printViolations(c.out, c.observer)
		err = errors.Join(err, c.end(os.Stderr, err == nil && len(c.observer.Violations()) == 0))
	}()
	if err != nil {
		return err
	}
	if err := errors.Join(build(ctx, root, c.manager.released), c.buildStepped(ctx, c.manager.stepped)); err != nil {
		return err
	}
	looking, stop := context.WithCancel(ctx)
	defer stop()
	go c.observe(looking)
	r := &round{environment: c.environment, long: c.long, throws: dice(c.seed, 1), calm: 40, edited: 20}
	for _, act := range []func(context.Context, *round) error{c.solo, c.pair, c.stepped} {
		if err := act(ctx, r); err != nil {
			return errors.Join(err, ctx.Err())
		}
	}
	return c.conclude(ctx)
}

// note prints the progress.
func (c *chaos) note(format string, args ...any) {
	_, _ = fmt.Fprintf(c.out, "%6.1f s  %s\n", time.Since(c.began).Seconds(), fmt.Sprintf(format, args...))
}

// solo injects all faults into one replica, and then kills it repeatedly.
func (c *chaos) solo(ctx context.Context, r *round) error {
	only, err := c.fleet.run(ctx, "solo", c.manager.released, c.kube.proxied, "--leader-elect=false")
	if err != nil {
		return err
	}
	r.replicas = []*replica{only}
	if err := errors.Join(c.createAll(ctx, calmNamespace, r.calm), c.createAll(ctx, editedNamespace, r.edited)); err != nil {
		return err
	}
	c.observer.Begins("nothing")
	c.awaitRecovery(ctx, calmNamespace, editedNamespace)
	if c.growth.before, err = only.gauge(ctx); err != nil {
		return err
	}
	if err := c.amidChurn(ctx, r); err != nil {
		return err
	}
	if c.growth.after, err = only.gauge(ctx); err != nil {
		return err
	}
	if err := c.inject(ctx, r, fault{"the operator is killed (SIGKILL) at a random moment", false, killed}); err != nil {
		return err
	}
	return only.end()
}

// amidChurn injects faults while StsCredentials come and go.
func (c *chaos) amidChurn(ctx context.Context, r *round) error {
	operations, perSecond := r.of(500, 10_000), float64(r.of(6, 25))
	churn := &churn{environment: c.environment, throws: dice(c.seed, 2)}
	done := make(chan struct{})
	churning, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		defer close(done)
		churn.run(churning, operations, perSecond)
	}()
	for _, f := range soloFaults() {
		if err := c.inject(ctx, r, f); err != nil {
			return err
		}
	}
	const churned = "an StsCredential is created, changed, suspended or deleted at random, during all of the above"
	c.observer.Begins(churned)
	began := time.Now()
	<-done
	took := c.awaitRecovery(ctx, calmNamespace, editedNamespace, churnNamespace)
	c.rows = append(c.rows, row{churned, int(churn.done.Load()), took})
	c.note("%d operations on StsCredentials, the last ones in %s", churn.done.Load(), time.Since(began).Round(time.Second))
	if err := churn.drain(ctx); err != nil {
		return err
	}
	pause(ctx, 15*time.Second) // connections that are not used any more are closed after ten
	return nil
}

// pair injects faults into two replicas that take over from each other.
func (c *chaos) pair(ctx context.Context, r *round) error {
	r.replicas = nil
	for _, name := range []string{"first", "second"} {
		one, err := c.fleet.run(ctx, name, c.manager.released, c.kube.direct, "--leader-election-namespace=sts-system")
		if err != nil {
			return err
		}
		r.replicas = append(r.replicas, one)
	}
	for _, f := range pairFaults(c.long) {
		if err := c.inject(ctx, r, f); err != nil {
			return err
		}
	}
	return errors.Join(r.replicas[0].end(), r.replicas[1].end())
}

// stepped changes the clock of one replica.
func (c *chaos) stepped(ctx context.Context, r *round) error {
	one, err := c.fleet.run(ctx, "stepped", c.manager.stepped, c.kube.direct, "--leader-elect=false")
	if err != nil {
		return err
	}
	r.replicas = []*replica{one}
	if err := c.inject(ctx, r, fault{"the operator's clock is changed by ±10 or ±20 minutes", false, clockStepped}); err != nil {
		return err
	}
	return one.end()
}

// inject injects a fault, and waits for recovery.
func (c *chaos) inject(ctx context.Context, r *round, f fault) error {
	if !c.only.MatchString(f.name) {
		return nil
	}
	c.observer.Begins(f.name)
	began := time.Now()
	if f.outage {
		c.observer.Outage(began)
	}
	failed := c.sts.failed.Load()
	times, err := f.inject(ctx, r)
	if f.outage {
		c.observer.Restored(time.Now())
	}
	if err != nil {
		return fmt.Errorf("%s: %w", f.name, err)
	}
	if times == 0 {
		return fmt.Errorf("%s: it was not injected", f.name)
	}
	lasted := time.Since(began)
	took := c.awaitRecovery(ctx, calmNamespace, editedNamespace)
	c.allowance.judge(c.environment, f.name, c.sts.failed.Load()-failed, lasted+took)
	c.rows = append(c.rows, row{f.name, times, took})
	wrong := c.observer.Violations()
	c.note("%s: %d times in %s, recovered after %s, %d violations so far", f.name, times,
		lasted.Round(100*time.Millisecond), took.Round(100*time.Millisecond), len(wrong))
	for _, v := range wrong[c.printed:] {
		c.note("VIOLATION: %s", v.What)
	}
	c.printed = len(wrong)
	return ctx.Err()
}
