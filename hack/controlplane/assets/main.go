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

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	dir, err := controlplane.Assets(ctx, os.Args[1:]...)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "assets:", err)
		os.Exit(1)
	}
	fmt.Println(dir)
}
