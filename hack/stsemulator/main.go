// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command stsemulator serves an emulated STS, and an admin endpoint to script it, until it is told to stop. The seed
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
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/stscredential/sts-credential-operator/test/stsemulator"
)

// goodbye is how long calls under way may take once the process is told to stop.
const goodbye = 3 * time.Second

// settings are the flags.
type settings struct {
	listen, tlsListen, adminListen  string
	certFile, keyFile, caFile, seed string
	hosts                           string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, parse(), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "stsemulator:", err)
		os.Exit(1)
	}
}

func parse() settings {
	var s settings
	flag.StringVar(&s.listen, "listen", "127.0.0.1:8480", "address of STS over HTTP; empty for none")
	flag.StringVar(&s.tlsListen, "tls-listen", "", "address of STS over HTTPS; empty for none")
	flag.StringVar(&s.adminListen, "admin-listen", "127.0.0.1:8481", "address of the admin endpoint; empty for none")
	flag.StringVar(&s.certFile, "tls-cert-file", "", "certificate for HTTPS, PEM; without it one is made")
	flag.StringVar(&s.keyFile, "tls-key-file", "", "the certificate's key, PEM")
	flag.StringVar(&s.caFile, "tls-ca-file", "", "where to write the CA of the certificate that is made, PEM")
	flag.StringVar(&s.hosts, "tls-hosts", "localhost,127.0.0.1,::1",
		"names and addresses in the certificate that is made, comma-separated")
	flag.StringVar(&s.seed, "seed", "", "YAML file with users, roles and oidcProviders to start with")
	flag.Parse()
	return s
}

// run serves until ctx ends. When all is ready it writes one line with the addresses.
func run(ctx context.Context, s settings, out io.Writer) error {
	emulator := stsemulator.New(stsemulator.Options{})
	if s.seed != "" {
		document, err := os.ReadFile(s.seed)
		if err != nil {
			return fmt.Errorf("reading the seed: %w", err)
		}
		if err := emulator.Load(document); err != nil {
			return err
		}
	}
	listeners, err := listen(ctx, s)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	ready := []string{"stsemulator ready:"}
	for _, one := range listeners {
		handler := http.Handler(emulator)
		if one.name == "admin" {
			handler = emulator.Admin()
		}
		serve(ctx, group, one.Listener, handler)
		ready = append(ready, one.name+"="+one.Addr().String())
	}
	if _, err := fmt.Fprintln(out, strings.Join(ready, " ")); err != nil {
		return err
	}
	return group.Wait()
}

// namedListener is a listener with what it is for: http, https or admin.
type namedListener struct {
	name string
	net.Listener
}

// listen opens the listeners that have an address.
func listen(ctx context.Context, s settings) ([]namedListener, error) {
	var listeners []namedListener
	open := func(name, address string) error {
		if address == "" {
			return nil
		}
		listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
		if err == nil && name == "https" {
			listener, err = secure(listener, s)
		}
		listeners = append(listeners, namedListener{name, listener})
		return err
	}
	err := errors.Join(open("http", s.listen), open("https", s.tlsListen), open("admin", s.adminListen))
	return listeners, err
}

// serve adds to the group a server and what ends it with ctx.
func serve(ctx context.Context, group *errgroup.Group, listener net.Listener, handler http.Handler) {
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: time.Minute,
		BaseContext:       func(net.Listener) context.Context { return ctx }, // ends what hangs
	}
	group.Go(func() error {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	group.Go(func() error {
		<-ctx.Done()
		farewell, cancel := context.WithTimeout(context.WithoutCancel(ctx), goodbye)
		defer cancel()
		if server.Shutdown(farewell) != nil {
			return server.Close()
		}
		return nil
	})
}
