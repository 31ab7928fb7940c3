// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command picture draws docs/images/dashboard.svg: it has the operator work for some minutes with short-lived credentials,
// while the emulated STS is slow, throttles and fails, asks a real Prometheus the queries of the Grafana dashboard, and
// draws what it answers.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/stscredential/sts-credential-operator/test/monitoring/environment"
	"github.com/stscredential/sts-credential-operator/test/stsemulator"
)

// scene is what happens to STS for some time. Scenes follow each other.
type scene struct {
	title string // empty: all is well
	lasts time.Duration
	fault stsemulator.Fault
}

var story = []scene{
	{lasts: 150 * time.Second},
	{"STS is slow", 60 * time.Second, stsemulator.Fault{Kind: stsemulator.FaultLatency, Duration: 600 * time.Millisecond}},
	{lasts: 60 * time.Second},
	{"STS throttles", 75 * time.Second, stsemulator.Fault{Kind: stsemulator.FaultThrottle, CallsPerSecond: 1}},
	{lasts: 90 * time.Second},
	{"STS fails", 105 * time.Second, stsemulator.Fault{Kind: stsemulator.FaultBadGateway}},
	{lasts: 120 * time.Second},
}

// credentials are asked for by role, with what STS grants for each.
var credentials = []struct {
	role     string
	lifetime time.Duration
	count    int
}{
	{"orders-reader", 100 * time.Second, 30},
	{"orders-writer", 3 * time.Minute, 30},
	{"orders-batch", 5 * time.Minute, 30},
}

// callsPerSecond are few, so that the budget shows.
const callsPerSecond = 4

func main() {
	out := flag.String("out", filepath.Join("docs", "images", "dashboard.svg"), "file to write")
	flag.Parse()
	ctrl.SetLogger(logr.Discard()) // otherwise controller-runtime prints a stack trace after 30 seconds
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *out); err != nil {
		fmt.Fprintln(os.Stderr, "picture:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out string) (err error) {
	site, err := environment.Start(ctx, environment.Options{
		Root: ".", ScrapeInterval: time.Second, ManagerFlags: []string{fmt.Sprint("--sts-qps=", callsPerSecond), fmt.Sprint("--sts-burst=", callsPerSecond)},
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, site.Stop()) }()
	if err := ask(ctx, site); err != nil {
		return err
	}
	seen, err := play(ctx, site)
	if err != nil {
		return err
	}
	dashboard, err := environment.ReadDashboard(filepath.Join(site.Root, environment.DashboardFile))
	if err != nil {
		return err
	}
	picture, err := draw(ctx, site.Prometheus, dashboard, seen)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(out), 0o750); err != nil {
		return err
	}
	return os.WriteFile(out, []byte(picture), 0o644)
}

// ask creates the StsCredentials, and one more for a role that trusts nobody.
func ask(ctx context.Context, site *environment.Site) error {
	trust := []stsemulator.Statement{{RAM: []string{"acs:ram::" + environment.Account + ":root"}}}
	for _, c := range credentials {
		arn := "acs:ram::" + environment.Account + ":role/" + c.role
		site.STS.AddRole(stsemulator.Role{ARN: arn, Trust: trust})
		site.STS.Inject(stsemulator.Fault{Kind: stsemulator.FaultShortLifetime, RoleARN: arn, Duration: c.lifetime})
		for i := range c.count {
			if err := site.Ask(ctx, fmt.Sprintf("%s-%d", c.role, i), arn); err != nil {
				return err
			}
		}
	}
	return site.Ask(ctx, "orders-refused", "acs:ram::"+environment.Account+":role/orders-refused")
}

// band is a time in which something went on.
type band struct {
	title    string
	from, to time.Time
}

// seen is the time that is drawn, with what went on in it.
type seen struct {
	start, end time.Time
	bands      []band
}

// play has the scenes happen.
func play(ctx context.Context, site *environment.Site) (s seen, err error) {
	s.start = time.Now()
	lasting := site.STS.Faults()
	for _, scene := range story {
		from := time.Now()
		if scene.title != "" {
			fmt.Println(scene.title, "for", scene.lasts)
			site.STS.Clear()
			for _, fault := range append(lasting, scene.fault) {
				site.STS.Inject(fault)
			}
		}
		select {
		case <-ctx.Done():
			return s, ctx.Err()
		case <-time.After(scene.lasts):
		}
		if scene.title != "" {
			site.STS.Clear()
			for _, fault := range lasting {
				site.STS.Inject(fault)
			}
			s.bands = append(s.bands, band{scene.title, from, time.Now()})
		}
	}
	s.end = time.Now()
	return s, nil
}
