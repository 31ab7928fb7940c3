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

// idleTimeout is shorter than the 15 s after which Alibaba Cloud's load balancers close an idle connection, because a POST on
// a connection that was just closed is not repeated.
const idleTimeout = 10 * time.Second

// newHTTPClient returns the HTTP client, with its connection pool, that all calls share.
func newHTTPClient() (*http.Client, error) {
	if err := checkDebug(); err != nil {
		return nil, err
	}
	proxies := httpproxy.FromEnvironment()
	if !readable(proxies.HTTPSProxy) || !readable(proxies.HTTPProxy) {
		return nil, errors.New("the URL of the proxy is malformed. Write HTTPS_PROXY and HTTP_PROXY as http://host:port")
	}
	proxy := proxies.ProxyFunc()
	return &http.Client{
		// HTTP/1.1 on purpose (a custom DialContext disables HTTP/2): a call that times out closes its connection. HTTP/2 would
		// use a dead connection for all calls until TCP times out.
		Transport: &http.Transport{
			Proxy:                  func(r *http.Request) (*url.URL, error) { return proxy(r.URL) },
			DialContext:            (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
			TLSHandshakeTimeout:    5 * time.Second,
			MaxIdleConns:           maxIdle,
			MaxIdleConnsPerHost:    maxIdle,
			IdleConnTimeout:        idleTimeout,
			MaxResponseHeaderBytes: maxResponse,
			OnProxyConnectResponse: refusedByProxy,
		},
		// A signed request is sent to the endpoint only.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

// readable reports whether httpproxy can parse the URL. It ignores a URL that it cannot parse, and calls would bypass the
// proxy.
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

// checkDebug rejects the values of DEBUG with which Alibaba Cloud's libraries print every request to stdout, tokens included.
// The libraries have no other setting for it.
func checkDebug() error {
	for name := range strings.SplitSeq(os.Getenv("DEBUG"), ",") {
		if name == "dara" || name == "tea" || name == "credential" {
			return fmt.Errorf("the environment variable DEBUG=%s makes Alibaba Cloud's SDK print requests with their tokens. Unset it", name)
		}
	}
	return nil
}

// maxIdle is the maximum number of idle connections: the default of --max-concurrent-reconciles.
const maxIdle = 32

var errProxyRefused = errors.New("refused by the proxy")

func refusedByProxy(_ context.Context, _ *url.URL, _ *http.Request, response *http.Response) error {
	if response.StatusCode == http.StatusOK {
		return nil
	}
	return fmt.Errorf("%w: %d", errProxyRefused, response.StatusCode)
}

// Classes of calls without a response of STS. The code is the result of the call; "" if nothing was sent.
var (
	malformedCredentials = errorClass{"", Refused, ReasonIdentityUnavailable,
		"the AccessKey is incomplete or malformed. Set both its ID and its secret, without white space or line breaks"}
	canceled = errorClass{resultCanceled, Transient, ReasonSTSUnavailable,
		"the call was canceled before STS answered; the operator retries"}
	timedOut = errorClass{resultTimeout, Transient, ReasonSTSUnavailable,
		"STS did not answer in time; the operator retries. If it persists, check that {endpoint} can be reached from the operator's pod (network policy, NAT, proxy)"}
	notResolved = errorClass{resultUnreachable, Transient, ReasonSTSUnavailable,
		"the host name of the endpoint (or proxy) cannot be resolved. Check {endpoint} and the cluster's DNS"}
	connectionRefused = errorClass{resultUnreachable, Transient, ReasonSTSUnavailable,
		"the connection was refused. Check {endpoint} and its port, or the proxy's"}
	notTrusted = errorClass{resultUnreachable, Transient, ReasonSTSUnavailable,
		"the certificate of the endpoint (or proxy) is not trusted. Add its certificate authority through SSL_CERT_FILE or SSL_CERT_DIR"}
	wrongCertificate = errorClass{resultUnreachable, Transient, ReasonSTSUnavailable,
		"the certificate of the endpoint (or proxy) is not valid for its host or at this time. Check the endpoint and the clocks"}
	notTLS = errorClass{resultUnreachable, Transient, ReasonSTSUnavailable,
		"the endpoint (or proxy) does not speak TLS as expected. Check the scheme and port of its URL"}
	proxyRefused = errorClass{resultUnreachable, Transient, ReasonSTSUnavailable,
		"the proxy refused to connect to STS. Allow the connection, correct HTTPS_PROXY, or add the endpoint to NO_PROXY"}
	connectionFailed = errorClass{resultUnreachable, Transient, ReasonSTSUnavailable,
		"the connection to STS failed; the operator retries. If it persists, check that {endpoint} can be reached from the operator's pod"}
	notSTS = errorClass{resultBrokenAnswer, Transient, ReasonSTSUnavailable,
		"the response did not come from STS, or was malformed. Check the endpoint and any proxy in between"}
	incompleteResponse = errorClass{resultBrokenAnswer, Transient, ReasonSTSUnavailable,
		"the response of STS was incomplete and is not used; the operator retries"}
)

// classifyNetworkError returns the class of an error of net/http. Its text is never kept.
func classifyNetworkError(err error) *errorClass {
	for _, kind := range networkErrors {
		if kind.is(err) {
			return kind.class
		}
	}
	return &connectionFailed
}

var networkErrors = []struct {
	is    func(error) bool
	class *errorClass
}{
	{func(err error) bool { return errors.Is(err, errProxyRefused) }, &proxyRefused},
	{isA[*net.DNSError], &notResolved},
	{isA[x509.UnknownAuthorityError], &notTrusted},
	{isA[*tls.CertificateVerificationError], &wrongCertificate},
	{isA[tls.RecordHeaderError], &notTLS},
	{isA[tls.AlertError], &notTLS},
	{func(err error) bool { return errors.Is(err, http.ErrSchemeMismatch) }, &notTLS},
	{func(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) }, &connectionRefused},
	{func(err error) bool { var e net.Error; return errors.As(err, &e) && e.Timeout() }, &timedOut},
	{func(err error) bool { return errors.Is(err, context.DeadlineExceeded) }, &timedOut},
}

func isA[E error](err error) bool {
	var e E
	return errors.As(err, &e)
}
