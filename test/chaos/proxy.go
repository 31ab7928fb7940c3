// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"io"
	"log"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
)

// silent discards the errors of servers whose connections are broken on purpose.
var silent = log.New(io.Discard, "", 0)

// proxyFault is a fault that the proxy injects into a request.
type proxyFault int32

const (
	none      proxyFault = iota
	conflicts            // some writes are answered with 409
	throttles            // some requests are answered with 429
	loses                // some writes reach the API server, and their responses are lost
)

// share is the part of the requests with a fault.
const share = 0.4

// proxy is a proxy between the operator and the API server. It serves HTTP/2, as the API server does.
type proxy struct {
	server  *httptest.Server
	forward *httputil.ReverseProxy
	does    atomic.Int32
	count   atomic.Int64 // of requests with a fault

	mu      sync.Mutex
	watches map[*http.Request]context.CancelFunc
}

// newProxy starts a proxy that forwards requests as the given user.
func newProxy(as *rest.Config) (*proxy, error) {
	target, err := url.Parse(as.Host)
	if err != nil {
		return nil, err
	}
	transport, err := rest.TransportFor(as)
	if err != nil {
		return nil, err
	}
	p := &proxy{watches: map[*http.Request]context.CancelFunc{}}
	p.forward = &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(target) },
		Transport:     transport,
		FlushInterval: -1,
		ErrorLog:      silent,
		// As if the API server itself were not available.
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	p.server = httptest.NewUnstartedServer(p)
	p.server.EnableHTTP2 = true
	p.server.Config.ErrorLog = silent
	p.server.StartTLS()
	return p, nil
}

// config is the operator's. It needs no certificate: the proxy has one.
func (p *proxy) config() *rest.Config {
	return &rest.Config{Host: p.server.URL, TLSClientConfig: rest.TLSClientConfig{
		CAData: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.server.Certificate().Raw}),
	}}
}

// do starts a fault, and ends the last one; with none it only ends it. It returns the number of requests with the last fault.
func (p *proxy) do(m proxyFault) int {
	p.does.Store(int32(m))
	return int(p.count.Swap(0))
}

// ServeHTTP injects the fault into a part of the requests, and forwards the others.
func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	writes := r.Method != http.MethodGet
	hit := rand.Float64() < share //nolint:gosec // what is hit needs no repeating: the requests come in no order anyway
	switch m := proxyFault(p.does.Load()); {
	case m == conflicts && writes && hit:
		p.refuse(w, apierrors.NewConflict(schema.GroupResource{Resource: "things"}, "thing", nil))
	case m == throttles && hit:
		w.Header().Set("Retry-After", "1")
		p.refuse(w, apierrors.NewTooManyRequests("too many requests", 1))
	case m == loses && writes && hit:
		p.count.Add(1)
		p.forward.ServeHTTP(httptest.NewRecorder(), r)
		panic(http.ErrAbortHandler)
	case r.URL.Query().Get("watch") == "true":
		p.watch(w, r)
	default:
		p.forward.ServeHTTP(w, r)
	}
}

// refuse answers as the API server would.
func (p *proxy) refuse(w http.ResponseWriter, err apierrors.APIStatus) {
	p.count.Add(1)
	status := err.Status()
	status.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(int(status.Code))
	_ = json.NewEncoder(w).Encode(status)
}

// watch forwards a watch so that it can be cut.
func (p *proxy) watch(w http.ResponseWriter, r *http.Request) {
	ctx, cut := context.WithCancel(r.Context())
	defer cut()
	p.mu.Lock()
	p.watches[r] = cut
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		delete(p.watches, r)
		p.mu.Unlock()
	}()
	p.forward.ServeHTTP(w, r.WithContext(ctx))
	if ctx.Err() != nil {
		panic(http.ErrAbortHandler)
	}
}

// cutWatches interrupts all watches, and returns their number.
func (p *proxy) cutWatches() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, cut := range p.watches {
		cut()
	}
	return len(p.watches)
}

// sever closes all connections without notice, as after the failure of a machine.
func (p *proxy) sever() { p.server.CloseClientConnections() }

// pause waits for some time, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
