// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/stscredential/sts-credential-operator/hack/process"
)

// grace is how long the manager may take to end; its own limit is 30 s.
const grace = 35 * time.Second

// startManager builds the operator and runs it as a process of its own.
func (d *demo) startManager(ctx context.Context) error {
	d.note("building the operator")
	binary := filepath.Join(d.dir, "manager")
	build := exec.CommandContext(ctx, "go", "build", "-o", binary, "./cmd/manager")
	build.Dir = d.root
	// An interrupt, which go passes on to what it runs, leaves no compiler behind; killing go would.
	build.Cancel = func() error { return build.Process.Signal(os.Interrupt) }
	if output, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build the operator: %w\n%s", err, output)
	}
	probe, err := freeAddress(ctx)
	if err != nil {
		return err
	}
	args := []string{
		"--sts-endpoint=" + d.sts.endpoint, "--service-account-identity", "--leader-elect=false", "--metrics-bind-address=0", "--health-probe-bind-address=" + probe,
	}
	if d.context != "" {
		args = append(args, "--namespaces="+namespace)
	}
	d.command(shell(append([]string{"manager"}, args...)...))
	// Stopped in its turn by the cleanup, so not by ctx.
	cmd := exec.CommandContext(context.WithoutCancel(ctx), binary, args...)
	cmd.Dir, cmd.Env = d.dir, d.managerEnvironment(os.Environ())
	manager, err := process.Start("manager", d.dir, cmd)
	if err != nil {
		return err
	}
	d.cleanup.add("stop the manager", func(context.Context) error {
		if err := manager.StopWithin(grace); err != nil {
			return err
		}
		if !cmd.ProcessState.Success() {
			return fmt.Errorf("it did not end with status 0 within %s of SIGTERM: %s", grace, cmd.ProcessState)
		}
		return nil
	})
	go func() {
		<-manager.Done()
		d.abort("the manager ended by itself: %v", cmd.ProcessState) // of no effect once the cleanup is at work
	}()
	if err := eventually(ctx, "the manager is ready", func(ctx context.Context) (string, bool) {
		return answers(ctx, "http://"+probe+"/readyz")
	}); err != nil {
		return err
	}
	d.ok("the operator is up; its log: %s", d.log)
	return nil
}

// managerEnvironment is the user's, with the emulated RAM user's keys in place of any identity of theirs.
func (d *demo) managerEnvironment(users []string) []string {
	var environment []string
	for _, variable := range users {
		if !strings.HasPrefix(variable, "ALIBABA_CLOUD_") && !strings.HasPrefix(variable, "KUBECONFIG=") {
			environment = append(environment, variable)
		}
	}
	return append(environment,
		"KUBECONFIG="+d.managerKubeconfig,
		keyID+"="+d.sts.key.ID,
		keySecret+"="+d.sts.key.Secret,
	)
}

// freeAddress is one on loopback that nobody listens on.
func freeAddress(ctx context.Context) (string, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", loopback)
	if err != nil {
		return "", err
	}
	return listener.Addr().String(), listener.Close()
}

// answers tells whether a GET succeeds.
func answers(ctx context.Context, url string) (got string, ok bool) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err.Error(), false
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err.Error(), false
	}
	_ = response.Body.Close()
	return response.Status, response.StatusCode == http.StatusOK
}
