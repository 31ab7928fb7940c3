// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package sts

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	openapiutil "github.com/alibabacloud-go/darabonba-openapi/v2/utils"
	"k8s.io/utils/ptr"
)

// maxResponse is the maximum number of bytes that are read of a response. STS's are below 4 KiB.
const maxResponse = 64 << 10

// exchange is one request and its response. It is the SDK's HttpClient for one call, and keeps what the SDK does not return.
type exchange struct {
	send func(*http.Request) (*http.Response, error)
	now  func() time.Time

	status     int
	refusal    refusal       // of STS; empty if STS did what was requested
	date       time.Time     // of a response of STS, by its clock; else zero
	received   time.Time     // the local time at which date was read
	retryAfter time.Duration // of the gateway's rate limit headers; 0 without them
	failed     *errorClass   // why there is no response of STS; nil if there is one
}

// refusal is the response of STS to a request that it refuses.
type refusal struct {
	Code, Message string
	RequestID     string `json:"RequestId"`
}

// errFailed is the error of an exchange; explain returns what failed.
var errFailed = errors.New("the call failed")

// Call sends the request on the pooled connections. The SDK's transport is not used: it is a new one, with new connections,
// for each call.
func (x *exchange) Call(req *http.Request, _ *http.Transport) (*http.Response, error) {
	resp, err := x.send(req)
	if err != nil {
		x.failed = classifyNetworkError(err)
		return nil, errFailed
	}
	defer func() { _ = resp.Body.Close() }()
	x.received, x.status = x.now(), resp.StatusCode
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxResponse+1))
	if err != nil {
		x.failed = classifyNetworkError(err)
		return nil, errFailed
	}
	// A proxy can answer in place of STS, and the SDK treats an empty response as success: only an object with a RequestId is a
	// response of STS.
	var response struct {
		RequestID string `json:"RequestId"`
	}
	if len(body) > maxResponse || json.Unmarshal(body, &response) != nil || response.RequestID == "" {
		x.failed = &notSTS
		return nil, errFailed
	}
	if x.status >= http.StatusBadRequest {
		_ = json.Unmarshal(body, &x.refusal) // without a code, it is not STS's
	}
	x.readHeader(resp.Header)
	resp.Header.Set("Content-Type", "application/json") // the SDK would decode other types as XML
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp, nil
}

func (x *exchange) readHeader(header http.Header) {
	if date, err := http.ParseTime(header.Get("Date")); err == nil {
		x.date = date
	}
	lower := make(map[string]*string, len(header))
	for name, values := range header {
		lower[strings.ToLower(name)] = &values[0]
	}
	// In milliseconds, as in the SDK's own retries (tea's dara.GetBackoffDelay).
	left := ptr.Deref(openapiutil.GetThrottlingTimeLeft(lower), 0)
	x.retryAfter = min(time.Duration(max(left, 0)), maxRetryAfter) * time.Millisecond
}

// maxRetryAfter, in milliseconds, bounds the wait that a header can cause.
const maxRetryAfter = time.Hour / time.Millisecond

// explain returns the error of an exchange that failed. ctx is the caller's, not the one with the timeout.
func (x *exchange) explain(ctx context.Context, action string, v messageValues) *Error {
	code := wellFormed(x.refusal.Code, codeFormat)
	switch {
	case x.failed != nil:
		return newError(action, v, *x.failed, ctx.Err())
	case code == "":
		return newError(action, v, notSTS, ctx.Err())
	}
	v.requestID = wellFormed(x.refusal.RequestID, requestIDFormat)
	e := newError(action, v, classify(code, x.status, x.refusal.Message), nil)
	e.Code, e.RequestID = code, v.requestID
	if e.Class == Throttled {
		e.RetryAfter = x.retryAfter
	}
	return e
}

// newError returns the error of a class, without STS's code. done is the caller's ctx.Err().
func newError(action string, v messageValues, c errorClass, done error) *Error {
	if done != nil {
		c = canceled
	}
	return &Error{
		Action: action, Class: c.class, Reason: c.reason, NextStep: c.format(v),
		errorClass: c, values: v, cause: done,
	}
}
