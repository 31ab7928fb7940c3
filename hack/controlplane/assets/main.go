// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command assets prints the folder that holds the programs of the local control plane, after downloading or building
// what it lacks:
//
//	KUBEBUILDER_ASSETS="$(go -C hack run ./controlplane/assets)" go test ./...
//
// etcd, kube-apiserver and kubectl are always there; further programs are named as arguments.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/stscredential/sts-credential-operator/hack/controlplane"
)

func main() { os.Exit(run()) }

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	dir, err := controlplane.Assets(ctx, os.Stderr, os.Args[1:]...)
	if err != nil {
		fmt.Fprintln(os.Stderr, "assets:", err)
		return 1
	}
	fmt.Println(dir)
	return 0
}
