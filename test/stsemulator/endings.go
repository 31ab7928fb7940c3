// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stsemulator

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"time"
)

// badGatewayPage is what a proxy in between answers: HTML where clients expect JSON.
const badGatewayPage = "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n" +
	"<center><h1>502 Bad Gateway</h1></center>\r\n</body>\r\n</html>\r\n"

// ending is a fault that takes the place of an answer.
type ending struct {
	Fault
	wait time.Duration // announced to the client, if not 0
}

// outcome is what the call's record says of the ending.
func (e *ending) outcome() outcome {
	switch e.Kind {
	case FaultEmpty:
		return outcome{status: http.StatusOK}
	case FaultBadGateway:
		return outcome{status: http.StatusBadGateway}
	case FaultHang, FaultReset:
		return outcome{}
	default:
		failure := e.failure()
		return outcome{status: failure.status, code: failure.code}
	}
}

// play ends the call.
func (e *ending) play(w http.ResponseWriter, req *request) {
	switch e.Kind {
	case FaultEmpty:
		w.WriteHeader(http.StatusOK)
	case FaultBadGateway:
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(http.StatusBadGateway)
		_, _ = w.Write([]byte(badGatewayPage))
	case FaultHang:
		<-req.http.Context().Done()
		panic(http.ErrAbortHandler) // returning would send an empty 200 to a client that is still there
	case FaultReset:
		reset(w)
	default:
		e.failure().write(w, req)
	}
}

// failure is the error that FaultError and FaultThrottle answer.
func (e *ending) failure() *apiError {
	code := e.Code
	if code == "" && e.Kind == FaultThrottle {
		code = "Throttling.User"
	}
	failure := newError(code)
	if e.Message != "" {
		failure.message = e.Message
	}
	if e.wait > 0 {
		failure.header = http.Header{"X-Ratelimit-User": {rateLimitHeader(e.CallsPerSecond, e.wait)}}
	}
	return failure
}

// reset closes the connection so that the client sees "connection reset by peer". Where the connection cannot be had
// (HTTP/2), the stream is aborted instead.
func reset(w http.ResponseWriter) {
	connection, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	raw := connection
	if secured, ok := connection.(*tls.Conn); ok {
		raw = secured.NetConn()
	}
	if tcp, ok := raw.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // makes Close send a reset
	}
	_ = raw.Close()
}

// pause waits for a latency in real time, as the wire would, and reports whether the client is still there.
func pause(ctx context.Context, latency time.Duration) bool {
	if latency <= 0 {
		return true
	}
	timer := time.NewTimer(latency)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
