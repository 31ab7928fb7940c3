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

// maxAnswer bounds what is read of an answer. STS's are below 4 KiB.
const maxAnswer = 64 << 10

// exchange is one request and its answer. It is the SDK's HttpClient for one call,
// and keeps what the SDK does not pass on.
type exchange struct {
	send func(*http.Request) (*http.Response, error)
	now  func() time.Time

	status     int
	date       time.Time     // of an answer of STS's own, by its clock; else zero
	received   time.Time     // the local time at which date was read
	retryAfter time.Duration // as the gateway's rate limit headers tell; 0 if they do not
	failed     *rule         // why there is no answer of STS's own; nil if there is
}

// errNoAnswer stands for failed on the way through the SDK.
var errNoAnswer = errors.New("no answer of STS's own")

// Call sends the request on the pooled connections. The transport that the SDK
// made for it is not used: it would be a new one, with new connections, each time.
func (x *exchange) Call(req *http.Request, _ *http.Transport) (*http.Response, error) {
	resp, err := x.send(req)
	if err != nil {
		x.failed = networkRule(err)
		return nil, errNoAnswer
	}
	defer func() { _ = resp.Body.Close() }()
	x.received, x.status = x.now(), resp.StatusCode
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		x.failed = networkRule(err)
		return nil, errNoAnswer
	}
	// Anything between here and STS can answer in its place, and the SDK takes an
	// empty answer for success: only an object that carries a RequestId is STS's.
	var answer struct{ RequestId string } //nolint:revive // STS's spelling
	if len(body) > maxAnswer || json.Unmarshal(body, &answer) != nil || answer.RequestId == "" {
		x.failed = &notSTS
		return nil, errNoAnswer
	}
	x.readHeader(resp.Header)
	resp.Header.Set("Content-Type", "application/json") // as was just seen; the SDK would try XML
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
	// In milliseconds, as the SDK's own retries (tea's dara.GetBackoffDelay) take it.
	left := ptr.Deref(openapiutil.GetThrottlingTimeLeft(lower), 0)
	x.retryAfter = min(time.Duration(max(left, 0)), maxRetryAfter) * time.Millisecond
}

// maxRetryAfter, in milliseconds, keeps an absurd header from stopping an account.
const maxRetryAfter = time.Hour / time.Millisecond

// explain turns the SDK's error into one that may be shown. ctx is the caller's,
// not the one that carries the timeout.
func (x *exchange) explain(ctx context.Context, action string, n names, err error) *Error {
	if x.failed != nil {
		return failure(action, n, *x.failed, ctx.Err())
	}
	var answered answeredError
	if !errors.As(err, &answered) {
		return failure(action, n, notSTS, ctx.Err())
	}
	code := wellFormed(ptr.Deref(answered.GetCode(), ""), codeFormat)
	if code == "" {
		return failure(action, n, notSTS, ctx.Err())
	}
	n.requestID = wellFormed(ptr.Deref(answered.GetRequestId(), ""), requestIDFormat)
	e := failure(action, n, ruleFor(code, x.status, ptr.Deref(answered.GetMessage(), "")), nil)
	e.Code, e.RequestID = code, n.requestID
	if e.Class == Throttled {
		e.RetryAfter = x.retryAfter
	}
	return e
}

// answeredError is what the SDK's errors have in common when STS answered
// (with DisableSDKError set: without it they lose the RequestId).
type answeredError interface {
	error
	GetCode() *string
	GetMessage() *string
	GetRequestId() *string
}

// failure is the error of a rule, not yet with STS's code. done is the caller's ctx.Err().
func failure(action string, n names, r rule, done error) *Error {
	if done != nil {
		r = givenUp
	}
	return &Error{
		Action: action, Class: r.class, Reason: r.reason, NextStep: r.nextStep(n),
		rule: r, names: n, cause: done,
	}
}
