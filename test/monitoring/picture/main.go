// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command picture draws docs/images/dashboard.svg. The operator works for some minutes with short-lived credentials, while the emulated
// STS is slow, throttles and fails. Then the program sends the queries of the Grafana dashboard to a real Prometheus, and draws the
// results.
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

// scene is a state of STS for some time. Scenes follow each other.
type scene struct {
	title string // empty: STS works
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

// credentials are the StsCredentials by role, with the lifetime of their sessions.
var credentials = []struct {
	role     string
	lifetime time.Duration
	count    int
}{
	{"orders-reader", 100 * time.Second, 30},
	{"orders-writer", 3 * time.Minute, 30},
	{"orders-batch", 5 * time.Minute, 30},
}

// callsPerSecond is low, so that the picture shows the budget.
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
	env, err := environment.Start(ctx, environment.Options{
		Root: ".", ScrapeInterval: time.Second, ManagerFlags: []string{fmt.Sprint("--sts-qps=", callsPerSecond), fmt.Sprint("--sts-burst=", callsPerSecond)},
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, env.Stop()) }()
	if err := createCredentials(ctx, env); err != nil {
		return err
	}
	timeline, err := play(ctx, env)
	if err != nil {
		return err
	}
	dashboard, err := environment.ReadDashboard(filepath.Join(env.Root, environment.DashboardFile))
	if err != nil {
		return err
	}
	picture, err := draw(ctx, env.Prometheus, dashboard, timeline)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(out), 0o750); err != nil {
		return err
	}
	return os.WriteFile(out, []byte(picture), 0o644)
}

// createCredentials creates the StsCredentials, and one more for a role that trusts nobody.
func createCredentials(ctx context.Context, env *environment.Environment) error {
	trust := []stsemulator.Statement{{RAM: []string{"acs:ram::" + environment.Account + ":root"}}}
	for _, c := range credentials {
		arn := "acs:ram::" + environment.Account + ":role/" + c.role
		env.STS.AddRole(stsemulator.Role{ARN: arn, Trust: trust})
		env.STS.Inject(stsemulator.Fault{Kind: stsemulator.FaultShortLifetime, RoleARN: arn, Duration: c.lifetime})
		for i := range c.count {
			if err := env.CreateCredential(ctx, fmt.Sprintf("%s-%d", c.role, i), arn); err != nil {
				return err
			}
		}
	}
	return env.CreateCredential(ctx, "orders-refused", "acs:ram::"+environment.Account+":role/orders-refused")
}

// band is the time of a scene.
type band struct {
	title    string
	from, to time.Time
}

// timeline is the time that is drawn, with its scenes.
type timeline struct {
	start, end time.Time
	bands      []band
}

// play plays the scenes.
func play(ctx context.Context, env *environment.Environment) (s timeline, err error) {
	s.start = time.Now()
	lasting := env.STS.Faults()
	for _, scene := range story {
		from := time.Now()
		if scene.title != "" {
			fmt.Println(scene.title, "for", scene.lasts)
			env.STS.Clear()
			for _, fault := range append(lasting, scene.fault) {
				env.STS.Inject(fault)
			}
		}
		select {
		case <-ctx.Done():
			return s, ctx.Err()
		case <-time.After(scene.lasts):
		}
		if scene.title != "" {
			env.STS.Clear()
			for _, fault := range lasting {
				env.STS.Inject(fault)
			}
			s.bands = append(s.bands, band{scene.title, from, time.Now()})
		}
	}
	s.end = time.Now()
	return s, nil
}
