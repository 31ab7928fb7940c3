// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package sts calls Alibaba Cloud's Security Token Service, and classifies its errors by what to do next.
package sts

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	openapiutil "github.com/alibabacloud-go/darabonba-openapi/v2/utils"
	sdk "github.com/alibabacloud-go/sts-20150401/v2/client"
	sdkcredentials "github.com/aliyun/credentials-go/credentials"
	"k8s.io/utils/clock"

	"github.com/stscredential/sts-credential-operator/internal/credentials"
)

// defaultTimeout is the default of Options.Timeout.
const defaultTimeout = 10 * time.Second

// Options are the options of a Client.
type Options struct {
	// Region selects the endpoint, such as cn-hangzhou; required unless Endpoint is set.
	Region string
	// RegionIsDefault: the region is the default, which errors then mention.
	RegionIsDefault bool
	// VPC selects the region's endpoint inside Alibaba Cloud's network.
	VPC bool
	// Endpoint is a URL that overrides both: http or https, host and optional port.
	Endpoint string
	// Timeout is the timeout of a call, from dialing to the last byte; 10 s if not set.
	Timeout time.Duration
	// UserAgent is added to the SDK's, such as sts-credential-operator/v1.2.3.
	UserAgent string
	// Clock is the local clock; required.
	Clock clock.PassiveClock
	// Observe is called after each call with its action, its result, which is one of Results, and its duration. May be nil.
	Observe func(action, result string, took time.Duration)
}

// Client calls STS. It is safe for concurrent use. HTTPS_PROXY, HTTP_PROXY and
// NO_PROXY are read once, by New. SSL_CERT_FILE and SSL_CERT_DIR add certificate authorities, as in every Go program.
type Client struct {
	endpoint    endpoint
	description string
	timeout     time.Duration
	clock       clock.PassiveClock
	http        *http.Client
	sdk         *sdk.Client
	observe     func(action, result string, took time.Duration)
	skew        atomic.Int64 // nanoseconds
}

// New returns a client; it makes no call. The error is a message for administrators.
func New(o Options) (*Client, error) {
	if o.Clock == nil {
		return nil, errors.New("sts: Options.Clock is required")
	}
	where, err := resolve(o.Region, o.VPC, o.Endpoint)
	if err != nil {
		return nil, err
	}
	httpClient, err := newHTTPClient()
	if err != nil {
		return nil, err
	}
	sdkClient, err := newSDKClient(where, o.UserAgent)
	if err != nil {
		return nil, err
	}
	if o.Timeout <= 0 {
		o.Timeout = defaultTimeout
	}
	if o.Observe == nil {
		o.Observe = func(string, string, time.Duration) {}
	}
	return &Client{endpoint: where, description: describeEndpoint(o, where), timeout: o.Timeout, clock: o.Clock, http: httpClient, sdk: sdkClient, observe: o.Observe}, nil
}

// Endpoint returns the host that is called, with its port if one is set.
func (c *Client) Endpoint() string { return c.endpoint.host }

// URL returns the scheme and the host that is called.
func (c *Client) URL() string { return c.endpoint.scheme + "://" + c.endpoint.host }

// EndpointDescription returns the endpoint for messages: the host that is called and, if its region is the default, how to
// set another region.
func (c *Client) EndpointDescription() string { return c.description }

func describeEndpoint(o Options, called endpoint) string {
	description := "the endpoint " + called.host
	if o.RegionIsDefault && o.Endpoint == "" {
		description += fmt.Sprintf(" (region %s is the default; set --region, or the chart value region, to the cluster's region)", o.Region)
	}
	return description
}

// Skew returns STS's clock minus the local one, by the header Date of the last response, which may be an error. It is 0 before
// the first response. A difference of less than 2 s counts as 0, because Date has whole seconds only.
func (c *Client) Skew() time.Duration { return time.Duration(c.skew.Load()) }

// Now returns the time by STS's clock: the local one corrected by Skew.
func (c *Client) Now() time.Time { return c.clock.Now().Add(c.Skew()) }

// call makes one call that signer signs, through the SDK.
func (c *Client) call(ctx context.Context, action string, v messageValues, signer credentials.Credentials, do func(*sdk.Client) error) (*exchange, error) {
	sdkSigner, err := newSigner(signer)
	if err != nil || !signer.WellFormed() {
		return nil, newError(action, v, malformedCredentials, nil)
	}
	return c.exchange(ctx, action, v, func(_ context.Context, x *exchange) error {
		client := *c.sdk // the SDK writes to its client's fields during a call
		client.Credential, client.HttpClient = sdkSigner, x
		return do(&client)
	})
}

// exchange makes one call: do sends one request through the exchange.
func (c *Client) exchange(ctx context.Context, action string, v messageValues, do func(context.Context, *exchange) error) (*exchange, error) {
	callCtx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	// The deadline is set here because not every action of the SDK takes a context.
	send := func(r *http.Request) (*http.Response, error) { return c.http.Do(r.WithContext(callCtx)) }
	v.endpoint = c.EndpointDescription()
	x := &exchange{send: send, now: c.clock.Now}
	err := do(callCtx, x)
	c.updateSkew(x)
	if err != nil {
		return nil, x.explain(ctx, action, v)
	}
	return x, nil
}

// newSigner converts credentials to what the SDK signs with.
func newSigner(c credentials.Credentials) (sdkcredentials.Credential, error) {
	kind := "access_key"
	if c.SecurityToken != "" {
		kind = "sts"
	}
	return sdkcredentials.NewCredential(&sdkcredentials.Config{
		Type:            &kind,
		AccessKeyId:     &c.AccessKeyID,
		AccessKeySecret: &c.AccessKeySecret,
		SecurityToken:   &c.SecurityToken,
	})
}

// newSDKClient returns the client that each call copies; it makes no call itself.
func newSDKClient(where endpoint, userAgent string) (*sdk.Client, error) {
	client, err := sdk.NewClient(&openapiutil.Config{
		Endpoint:  &where.host,
		Protocol:  &where.scheme,
		UserAgent: &userAgent,
		// The SDK reads proxy variables itself, fails on common forms of them, and sends the proxy's password to STS. The
		// transport of newHTTPClient reads them instead.
		NoProxy: &where.host,
	})
	if err != nil {
		return nil, fmt.Errorf("sts: the SDK rejects the endpoint %s", where.host)
	}
	return client, nil
}

// updateSkew updates the skew from a response.
func (c *Client) updateSkew(x *exchange) {
	if x.date.IsZero() {
		return
	}
	skew := x.date.Sub(x.received)
	if skew.Abs() < 2*time.Second {
		skew = 0
	}
	c.skew.Store(int64(skew))
}
