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
	"k8s.io/utils/ptr"

	"github.com/stscredential/sts-credential-operator/internal/credentials"
)

// defaultTimeout bounds a call when Options.Timeout does not.
const defaultTimeout = 10 * time.Second

// Options say where STS is and how to call it.
type Options struct {
	// Region chooses the endpoint, such as cn-hangzhou; required unless Endpoint is set.
	Region string
	// RegionIsDefault: nobody chose the region, which errors then say.
	RegionIsDefault bool
	// VPC chooses the region's endpoint inside Alibaba Cloud's network.
	VPC bool
	// Endpoint is a URL that overrides both: http or https, host, perhaps a port.
	Endpoint string
	// Timeout bounds each call from dialling to the last byte; 10 s if not set.
	Timeout time.Duration
	// UserAgent is added to the SDK's own, such as sts-credential-operator/v1.2.3.
	UserAgent string
	// Clock is the local clock; required.
	Clock clock.PassiveClock
	// Observe is told of each call that was made: its action, how it ended, which is one of Outcomes, and how long it
	// took. May be nil.
	Observe func(action, outcome string, took time.Duration)
}

// Client calls STS. It is safe for concurrent use. HTTPS_PROXY, HTTP_PROXY and
// NO_PROXY are read once, by New; SSL_CERT_FILE and SSL_CERT_DIR add to the
// certificate authorities as they do in every Go program.
type Client struct {
	endpoint endpoint
	where    string
	timeout  time.Duration
	clock    clock.PassiveClock
	http     *http.Client
	sdk      *sdk.Client
	observe  func(action, outcome string, took time.Duration)
	skew     atomic.Int64 // nanoseconds
}

// New prepares a client; nothing is called yet. The error says what to write instead.
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
	return &Client{endpoint: where, where: whereInWords(o, where), timeout: o.Timeout, clock: o.Clock, http: httpClient, sdk: sdkClient, observe: o.Observe}, nil
}

// Endpoint is the host that is called, with its port if it was given one.
func (c *Client) Endpoint() string { return c.endpoint.host }

// URL is where calls go: scheme and host.
func (c *Client) URL() string { return c.endpoint.scheme + "://" + c.endpoint.host }

// Where is the host that is called and, if nobody chose its region, how to choose one: what errors of the network name.
func (c *Client) Where() string { return c.where }

func whereInWords(o Options, called endpoint) string {
	words := "the endpoint " + called.host
	if o.RegionIsDefault && o.Endpoint == "" {
		words += fmt.Sprintf(" (region %s is the default; set --region, or the chart value region, to the cluster's region)", o.Region)
	}
	return words
}

// Skew is STS's clock minus the local one, as the newest answer told (an error is
// an answer, too). 0 until there was one; less than 2 s counts as 0, since an
// answer's Date has whole seconds only.
func (c *Client) Skew() time.Duration { return time.Duration(c.skew.Load()) }

// Now is the time by STS's clock: the local one corrected by Skew.
func (c *Client) Now() time.Time { return c.clock.Now().Add(c.Skew()) }

// call makes one call that signer signs.
func (c *Client) call(ctx context.Context, action string, n names, signer credentials.Credentials, do func(*sdk.Client) error) (*exchange, error) {
	if !signer.WellFormed() {
		return nil, failure(action, n, brokenKeys, nil)
	}
	sdkSigner, err := newSigner(signer)
	if err != nil {
		return nil, failure(action, n, brokenKeys, nil)
	}
	return c.callAs(ctx, action, n, sdkSigner, do)
}

// callAs makes one call with a client of the SDK that is this call's own: the SDK
// writes to its client's fields while it works. A nil signer is for anonymous
// actions. do returns the SDK's error as it is.
func (c *Client) callAs(ctx context.Context, action string, n names, signer sdkcredentials.Credential, do func(*sdk.Client) error) (*exchange, error) {
	callCtx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	// The deadline enters here since not every action of the SDK takes a context.
	send := func(r *http.Request) (*http.Response, error) { return c.http.Do(r.WithContext(callCtx)) } //nolint:gosec // the endpoint is the administrator's own setting
	n.endpoint = c.Where()
	x := &exchange{send: send, now: c.clock.Now}
	client := *c.sdk
	client.Credential = signer
	client.HttpClient = x
	err := do(&client)
	c.noteDate(x)
	if err != nil {
		return nil, x.explain(ctx, action, n, err)
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

// newSDKClient makes the client that each call copies; it is never used itself.
func newSDKClient(where endpoint, userAgent string) (*sdk.Client, error) {
	client, err := sdk.NewClient(&openapiutil.Config{
		Endpoint:  &where.host,
		Protocol:  &where.scheme,
		UserAgent: &userAgent,
		// The SDK reads proxy variables itself, fails on forms of them that are
		// common, and sends the proxy's password to STS. newHTTPClient's transport
		// does it instead.
		NoProxy: &where.host,
	})
	if err != nil {
		return nil, fmt.Errorf("sts: the SDK does not take endpoint %s", where.host)
	}
	client.Client.DisableSDKError = ptr.To(true) // the outer field of this name does nothing
	return client, nil
}

// noteDate learns the skew from an answer.
func (c *Client) noteDate(x *exchange) {
	if x.date.IsZero() {
		return
	}
	skew := x.date.Sub(x.received)
	if skew.Abs() < 2*time.Second {
		skew = 0
	}
	c.skew.Store(int64(skew))
}
