// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package sts

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/net/http/httpproxy"
)

// idleTimeout is below the 15 s after which Alibaba Cloud's load balancers close
// an idle connection: a POST on one that was just closed cannot be sent again.
const idleTimeout = 10 * time.Second

// newHTTPClient makes the one client, with its pool of connections, that all calls share.
func newHTTPClient() (*http.Client, error) {
	if err := quietSDK(); err != nil {
		return nil, err
	}
	proxies := httpproxy.FromEnvironment()
	if !readable(proxies.HTTPSProxy) || !readable(proxies.HTTPProxy) {
		return nil, errors.New("the proxy's URL is wrongly formed: write HTTPS_PROXY and HTTP_PROXY as http://host:port")
	}
	proxy := proxies.ProxyFunc()
	return &http.Client{
		// HTTP/1.1 on purpose (a DialContext of one's own turns HTTP/2 off): a call
		// that times out takes its dead connection with it, where HTTP/2 would hand
		// the same one to every call until TCP gives it up.
		Transport: &http.Transport{
			Proxy:                  func(r *http.Request) (*url.URL, error) { return proxy(r.URL) },
			DialContext:            (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
			TLSHandshakeTimeout:    5 * time.Second,
			MaxIdleConns:           maxIdle,
			MaxIdleConnsPerHost:    maxIdle,
			IdleConnTimeout:        idleTimeout,
			MaxResponseHeaderBytes: maxAnswer,
			OnProxyConnectResponse: refusedByProxy,
		},
		// A signed request goes to the endpoint and nowhere else.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

// readable tells whether httpproxy can use the URL; one that it cannot use it
// ignores, and calls would go past the proxy.
func readable(proxy string) bool {
	if proxy == "" {
		return true
	}
	if !strings.Contains(proxy, "://") {
		proxy = "http://" + proxy
	}
	u, err := url.Parse(proxy)
	return err == nil && u.Host != ""
}

// quietSDK refuses the values of DEBUG with which Alibaba Cloud's libraries print
// every request to stdout, tokens included; they offer no other switch.
func quietSDK() error {
	for name := range strings.SplitSeq(os.Getenv("DEBUG"), ",") {
		if name == "dara" || name == "tea" || name == "credential" {
			return fmt.Errorf("the environment variable DEBUG=%s makes Alibaba Cloud's SDK print requests with their tokens: unset it", name)
		}
	}
	return nil
}

// maxIdle is how many connections wait for their next call: as many as workers
// are likely to call at once.
const maxIdle = 32

var errProxyRefused = errors.New("refused by the proxy")

func refusedByProxy(_ context.Context, _ *url.URL, _ *http.Request, answer *http.Response) error {
	if answer.StatusCode == http.StatusOK {
		return nil
	}
	return fmt.Errorf("%w: %d", errProxyRefused, answer.StatusCode)
}

// The rules for what is no answer of STS's own. In place of a code stands how the call is observed to have ended; "" where
// nothing was sent.
var (
	brokenKeys = rule{"", Refused, ReasonIdentityUnavailable,
		"there is no complete AccessKey to sign with: give both its ID and its secret, without white space or line breaks"}
	givenUp = rule{outcomeCanceled, Transient, ReasonSTSUnavailable,
		"the call was canceled before STS answered: the operator retries"}
	timedOut = rule{outcomeTimeout, Transient, ReasonSTSUnavailable,
		"STS did not answer in time: the operator retries. If it persists, check that {endpoint} can be reached from the operator's pod (network policy, NAT, proxy)"}
	notResolved = rule{outcomeUnreachable, Transient, ReasonSTSUnavailable,
		"the host name of the endpoint (or proxy) is not resolved: check {endpoint} and the cluster's DNS"}
	notConnected = rule{outcomeUnreachable, Transient, ReasonSTSUnavailable,
		"the connection was refused: check {endpoint} and its port, or the proxy's"}
	notTrusted = rule{outcomeUnreachable, Transient, ReasonSTSUnavailable,
		"the certificate of the endpoint (or proxy) is not trusted: add its certificate authority through SSL_CERT_FILE or SSL_CERT_DIR"}
	wrongCertificate = rule{outcomeUnreachable, Transient, ReasonSTSUnavailable,
		"the certificate of the endpoint (or proxy) is not valid for it, or not now: check the endpoint and the clocks"}
	notTLS = rule{outcomeUnreachable, Transient, ReasonSTSUnavailable,
		"the endpoint (or proxy) does not speak TLS as expected: check its URL's scheme and port"}
	proxyRefused = rule{outcomeUnreachable, Transient, ReasonSTSUnavailable,
		"the proxy refused to connect to STS: let it pass, correct HTTPS_PROXY, or name the endpoint in NO_PROXY"}
	brokenOff = rule{outcomeUnreachable, Transient, ReasonSTSUnavailable,
		"the connection to STS failed: the operator retries. If it persists, check that {endpoint} can be reached from the operator's pod"}
	notSTS = rule{outcomeBrokenAnswer, Transient, ReasonSTSUnavailable,
		"The response did not come from STS, or was malformed. Check the endpoint and any proxy in between"}
	partial = rule{outcomeBrokenAnswer, Transient, ReasonSTSUnavailable,
		"STS's answer was incomplete and is not used: the operator retries"}
)

// networkRule sorts an error of net/http by its kind. Its text is never kept.
func networkRule(err error) *rule {
	for _, kind := range networkKinds {
		if kind.is(err) {
			return kind.rule
		}
	}
	return &brokenOff
}

var networkKinds = []struct {
	is   func(error) bool
	rule *rule
}{
	{func(err error) bool { return errors.Is(err, errProxyRefused) }, &proxyRefused},
	{isA[*net.DNSError], &notResolved},
	{isA[x509.UnknownAuthorityError], &notTrusted},
	{isA[*tls.CertificateVerificationError], &wrongCertificate},
	{isA[tls.RecordHeaderError], &notTLS},
	{isA[tls.AlertError], &notTLS},
	{func(err error) bool { return errors.Is(err, http.ErrSchemeMismatch) }, &notTLS},
	{func(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) }, &notConnected},
	{func(err error) bool { var e net.Error; return errors.As(err, &e) && e.Timeout() }, &timedOut},
	{func(err error) bool { return errors.Is(err, context.DeadlineExceeded) }, &timedOut},
}

func isA[E error](err error) bool {
	var e E
	return errors.As(err, &e)
}
