// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command cluster runs a Kubernetes cluster of one node on this machine, for playing, until it is interrupted.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/stscredential/sts-credential-operator/hack/node"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "cluster:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	c, err := node.Start(ctx, node.Options{})
	if err != nil {
		return err
	}
	fmt.Printf("export KUBECONFIG=%s\nexport PATH=%s:$PATH\n", c.Kubeconfig(), filepath.Dir(c.Kubectl()))
	fmt.Printf("Ready. Ctrl-C ends it; the logs stay in %s.\n", filepath.Join(c.Dir(), "logs"))
	<-ctx.Done()
	return c.Stop()
}
