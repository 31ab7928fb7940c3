// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package agent serves the credentials of a mounted Secret over HTTP on loopback, in the form that the Alibaba Cloud SDKs
// read from ALIBABA_CLOUD_CREDENTIALS_URI. It follows every update of the volume.
package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"time"
)

// The environment variables of the agent.
const (
	EnvDir    = "STSCRED_DIR"
	EnvListen = "STSCRED_LISTEN"
	EnvToken  = "STSCRED_TOKEN" //nolint:gosec // the name of a variable, not a secret
)

// The defaults of the environment variables. EnvToken has none.
const (
	DefaultDir    = "/var/run/secrets/sts.alibabacloud.com"
	DefaultListen = "127.0.0.1:7171"
)

const (
	// pollInterval is the interval between reads of the file. A read costs some microseconds. The kubelet itself updates a
	// volume only within minutes.
	pollInterval = time.Second
	// drainTimeout is the time to finish requests under way after SIGTERM.
	drainTimeout = 5 * time.Second
	// idleTimeout is short, for connections are few and a new one on loopback is cheap.
	idleTimeout = 5 * time.Second
	// headerTimeout bounds reading the headers of a request. It is short, because slow connections must not keep those of SDKs
	// waiting, and longer than a client is stopped when its CPU is throttled.
	headerTimeout = 3 * time.Second
	// requestTimeout bounds reading a request, and writing its answer.
	requestTimeout = 5 * time.Second
	// maxHeader bounds a request's headers, in bytes. The HTTP server adds 4 KiB.
	maxHeader = 4 << 10
	// maxConnections bounds the memory for connections, about 20 KiB each. Further connections wait in the
	// listen queue.
	maxConnections = 128
)

// Config is what the agent runs with.
type Config struct {
	// Dir is the directory of the mounted Secret.
	Dir string
	// Listen is the IP address and port to listen on; a loopback address unless AllowNonLoopback is set.
	Listen string
	// Token is the path segment that a caller must know: 16 to 128 letters, digits, '.', '_' and '-'.
	Token string
	// AllowNonLoopback allows any address to listen on.
	AllowNonLoopback bool
	// Now returns the time.
	Now func() time.Time
	// Log never gets a value of the credentials.
	Log *slog.Logger
}

// Run serves until ctx ends. It then finishes the requests under way, and closes connections whose requests take longer than five
// seconds.
func Run(ctx context.Context, c Config) error {
	if err := c.validate(); err != nil {
		return err
	}
	listener, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(netip.MustParseAddrPort(c.Listen)))
	if err != nil {
		return fmt.Errorf("%w. Choose another port by %s", err, EnvListen)
	}
	return c.serve(ctx, listener, pollInterval, drainTimeout)
}

func (c Config) serve(ctx context.Context, listener *net.TCPListener, poll, drain time.Duration) error {
	store := newStore(c)
	store.refresh()
	go store.follow(ctx, poll)

	limited := limit(listener, maxConnections)
	server := &http.Server{
		Handler:                      &handler{store: store, config: c, path: []byte(c.path()), saturated: limited.saturated},
		DisableGeneralOptionsHandler: true,
		ReadHeaderTimeout:            headerTimeout,
		ReadTimeout:                  requestTimeout,
		WriteTimeout:                 requestTimeout,
		IdleTimeout:                  idleTimeout,
		MaxHeaderBytes:               maxHeader,
		ErrorLog:                     slog.NewLogLogger(c.Log.Handler(), slog.LevelWarn),
	}
	drained := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(drained)
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
		defer cancel()
		if err := server.Shutdown(grace); err != nil {
			c.Log.Warn("Closing connections whose requests did not finish in time.", "timeout", drain.String(), "cause", err.Error())
			_ = server.Close()
		}
	})
	defer stop()
	c.Log.Info("Serving credentials.", "address", listener.Addr().String(), "directory", c.Dir)
	if err := server.Serve(limited); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	<-drained
	return nil
}
