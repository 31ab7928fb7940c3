// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command demo shows the operator at work on this machine: against a real control plane, with an emulated STS, as a
// user would drive it. Each step is checked, so that it also serves as a test: with --once it ends by itself, with
// status 0 only if all came as it should.
//
// KUBECONFIG_CONTEXT=<name> uses that context of the user's kubeconfig instead of a control plane of its own.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
)

// parentInterval is how often the demo looks whether its parent is still there.
const parentInterval = 250 * time.Millisecond

func main() { os.Exit(run()) }

func run() int {
	// The demo prints what matters itself. Without a logger, controller-runtime prints a stack trace after 30 seconds.
	ctrl.SetLogger(logr.Discard())
	klog.SetLogger(logr.Discard())
	o, err := parse(os.Args[1:], os.Getenv)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		fmt.Fprintln(os.Stderr, "demo:", err)
		return 2
	}
	// SIGPIPE too: the reader of our output may go, and what was started must not outlive that.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)
	defer stop()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go watchParent(ctx, cancel)

	d := &demo{options: o, screen: newScreen(os.Stdout), cancel: cancel}
	if err := d.run(ctx); err != nil {
		return 1
	}
	return 0
}

// watchParent ends the demo when its parent is gone: "go run" passes no SIGTERM on, and would leave the demo behind.
func watchParent(ctx context.Context, cancel context.CancelCauseFunc) {
	ticker := time.NewTicker(parentInterval)
	defer ticker.Stop()
	for parent := os.Getppid(); ; {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			if os.Getppid() != parent {
				cancel(nil)
				return
			}
		}
	}
}
