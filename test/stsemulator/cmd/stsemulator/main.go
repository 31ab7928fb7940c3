// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command stsemulator serves an emulated STS, and an admin endpoint to script it, until it is asked to stop. The seed
// file says what RAM knows at the start:
//
//	users:
//	- {account: "1234567890123456", name: operator, accessKeyId: testid, accessKeySecret: testsecret}
//	roles:
//	- arn: acs:ram::1234567890123456:role/orders-reader
//	  maxSessionDuration: 2h
//	  trust:
//	  - ram: ["acs:ram::1234567890123456:root"]
//	  - federated: ["acs:ram::1234567890123456:oidc-provider/c1"]
//	    stringEquals: {"oidc:aud": [sts.aliyuncs.com], "oidc:sub": ["system:serviceaccount:shop:orders"]}
//	oidcProviders:
//	- arn: acs:ram::1234567890123456:oidc-provider/c1
//	  issuer: https://kubernetes.default.svc
//	  clientIDs: [sts.aliyuncs.com]
//	  jwks: {keys: []} # what "kubectl get --raw /openid/v1/jwks" prints; or jwksURL
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/stscredential/sts-credential-operator/test/stsemulator"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:8480", "Address of STS.")
	admin := flag.String("admin-listen", "127.0.0.1:8481", "Address of the admin endpoint.")
	seed := flag.String("seed", "", "YAML file with users, roles and oidcProviders to start with.")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *listen, *admin, *seed, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "stsemulator:", err)
		os.Exit(1)
	}
}

// run serves until ctx ends. When it is ready it writes one line with the addresses.
func run(ctx context.Context, listen, admin, seed string, out io.Writer) error {
	emulator := stsemulator.New(stsemulator.Options{})
	if seed != "" {
		document, err := os.ReadFile(seed)
		if err != nil {
			return fmt.Errorf("read the seed: %w", err)
		}
		if err := emulator.Load(document); err != nil {
			return err
		}
	}
	sts, err := new(net.ListenConfig).Listen(ctx, "tcp", listen)
	if err != nil {
		return err
	}
	scripts, err := new(net.ListenConfig).Listen(ctx, "tcp", admin)
	if err != nil {
		return errors.Join(err, sts.Close())
	}
	group, ctx := errgroup.WithContext(ctx)
	serve(ctx, group, sts, emulator)
	serve(ctx, group, scripts, emulator.Admin())
	if _, err := fmt.Fprintf(out, "stsemulator ready: http=%s admin=%s\n", sts.Addr(), scripts.Addr()); err != nil {
		return err
	}
	return group.Wait()
}

// serve adds to the group a server, and what ends it and the calls that hang with ctx.
func serve(ctx context.Context, group *errgroup.Group, listener net.Listener, handler http.Handler) {
	server := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
	group.Go(func() error {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	group.Go(func() error {
		<-ctx.Done()
		return server.Close()
	})
}
