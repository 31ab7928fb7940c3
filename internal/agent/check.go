// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"time"
)

// checkTimeout is less than the second that the kubelet gives a probe by default, so that it can print what is missing.
const checkTimeout = 800 * time.Millisecond

// Check sends a request to the agent with this configuration. The error is one line: why it serves no credentials.
func Check(ctx context.Context, c Config) error {
	if err := c.validate(); err != nil {
		return err
	}
	address := netip.MustParseAddrPort(c.Listen) // as validated
	if address.Addr().IsUnspecified() {
		loopback := netip.AddrFrom4([4]byte{127, 0, 0, 1})
		if address.Addr().Is6() {
			loopback = netip.IPv6Loopback()
		}
		address = netip.AddrPortFrom(loopback, address.Port())
	}
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address.String()+c.path(), nil)
	if err != nil {
		return errors.New("the address and the token do not form a URL")
	}
	client := http.Client{ // without a proxy
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	response, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("no agent answers on %s. See the log of the agent's container", address)
	}
	defer func() { _ = response.Body.Close() }()
	switch response.StatusCode {
	case http.StatusOK:
		body, err := io.ReadAll(io.LimitReader(response.Body, maxFile))
		if err == nil {
			_, err = parse(body)
		}
		if err != nil {
			return fmt.Errorf("%s does not answer with credentials, so it is another program. Choose another port by %s", address, EnvListen)
		}
		return nil
	case http.StatusServiceUnavailable:
		return errors.New(problemIn(response.Body))
	}
	if response.StatusCode == http.StatusNotFound {
		return fmt.Errorf("%s answers with status 404, so it is an agent with another %s, or another program. Choose another port by %s",
			address, EnvToken, EnvListen)
	}
	return fmt.Errorf("%s answers with status %d, so it is another program. Choose another port by %s", address, response.StatusCode, EnvListen)
}

// problemIn returns the message of an answer without credentials, as one line.
func problemIn(body io.Reader) string {
	var answer unavailable
	if err := json.NewDecoder(io.LimitReader(body, maxFile)).Decode(&answer); err != nil || answer.Message == "" {
		return "the answer with status 503 is not the agent's. Choose another port by " + EnvListen
	}
	return strings.Join(strings.Fields(answer.Message), " ")
}
