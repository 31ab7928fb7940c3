// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package process

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
)

// Answers returns a function that returns nil if a GET of the URL succeeds, as Wait takes it.
func Answers(client *http.Client, url string) func(context.Context) error {
	return func(ctx context.Context) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
		if err != nil {
			return err
		}
		response, err := client.Do(request)
		if err != nil {
			return err
		}
		defer func() { _ = response.Body.Close() }()
		if response.StatusCode != http.StatusOK {
			return fmt.Errorf("%s answers %s", url, response.Status)
		}
		return nil
	}
}

// FreeAddresses returns addresses (host:port) of a host on which nothing listens. All are held until the last is found, so they
// differ.
func FreeAddresses(ctx context.Context, host string, n int) (addresses []string, err error) {
	for range n {
		listener, listenErr := (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort(host, "0"))
		if listenErr != nil {
			return nil, errors.Join(err, listenErr)
		}
		defer func() { err = errors.Join(err, listener.Close()) }()
		addresses = append(addresses, listener.Addr().String())
	}
	return addresses, nil
}

// FreeAddress returns one of the loopback interface.
func FreeAddress(ctx context.Context) (string, error) {
	addresses, err := FreeAddresses(ctx, "127.0.0.1", 1)
	return strings.Join(addresses, ""), err
}
