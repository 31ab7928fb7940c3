// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
)

// validToken makes a token one path segment that is hard to guess. The UID of a pod has 36 characters.
var validToken = regexp.MustCompile(`^[A-Za-z0-9._-]{16,128}$`)

func (c Config) validate() error {
	if c.Dir == "" {
		return errors.New("no directory. Set " + EnvDir + " to where the Secret is mounted")
	}
	if c.Token == "" {
		return errors.New("no token. Set " + EnvToken + " to the pod's UID (fieldRef metadata.uid)")
	}
	if !validToken.MatchString(c.Token) {
		return errors.New(EnvToken + " must be 16 to 128 letters, digits, '.', '_' and '-'. Set it to the pod's UID (fieldRef metadata.uid)")
	}
	address, err := netip.ParseAddrPort(c.Listen)
	if err != nil {
		return fmt.Errorf("%s %q is not an IP address with a port. Write for example %s", EnvListen, c.Listen, DefaultListen)
	}
	if address.Port() == 0 {
		return fmt.Errorf("%s %s has the port 0, which no client can call. Write for example %s", EnvListen, c.Listen, DefaultListen)
	}
	if !isLoopback(address.Addr()) && !c.AllowNonLoopback {
		return fmt.Errorf("%s %s is not a loopback address, so other pods could read the credentials. "+
			"Write for example %s, or set --allow-non-loopback", EnvListen, c.Listen, DefaultListen)
	}
	return nil
}

func isLoopback(address netip.Addr) bool { return address.Unmap().IsLoopback() }

// path is the only one that is answered.
func (c Config) path() string { return "/v1/" + c.Token + "/credentials" }
