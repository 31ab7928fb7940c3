// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"net"
	"strings"
	"testing"
)

// The agent listens on loopback only, unless it is allowed to do otherwise: a pod's other addresses are open to other pods.
func TestOnlyLoopback(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*Config)
		want   string // empty: taken
	}{
		{"the default", func(*Config) {}, ""},
		{"another port", func(c *Config) { c.Listen = "127.0.0.1:1" }, ""},
		{"IPv6", func(c *Config) { c.Listen = "[::1]:7171" }, ""},
		{"IPv4 in IPv6", func(c *Config) { c.Listen = "[::ffff:127.0.0.1]:7171" }, ""},
		{"all addresses", func(c *Config) { c.Listen = "0.0.0.0:7171" }, "0.0.0.0:7171 is not a loopback address, so other pods could read the credentials"},
		{"all addresses of IPv6", func(c *Config) { c.Listen = "[::]:7171" }, "is not a loopback address"},
		{"a pod's address", func(c *Config) { c.Listen = "10.0.0.1:7171" }, "set --allow-non-loopback"},
		{"all addresses, as allowed", func(c *Config) { c.Listen, c.AllowNonLoopback = "0.0.0.0:7171", true }, ""},
		{"no address", func(c *Config) { c.Listen = ":7171" }, "is not an IP address with a port. Write for example 127.0.0.1:7171"},
		{"a name, which may lead anywhere", func(c *Config) { c.Listen = "localhost:7171" }, "is not an IP address"},
		{"port 0", func(c *Config) { c.Listen = "127.0.0.1:0" }, "STSCRED_LISTEN 127.0.0.1:0 has the port 0"},
		{"no port", func(c *Config) { c.Listen = "127.0.0.1" }, "is not an IP address"},
		{"no directory", func(c *Config) { c.Dir = "" }, "no directory. Set STSCRED_DIR"},
		{"no token", func(c *Config) { c.Token = "" }, "no token. Set STSCRED_TOKEN to the pod's UID"},
		{"a short token", func(c *Config) { c.Token = strings.Repeat("x", 15) }, "must be 16 to 128"},
		{"the shortest token", func(c *Config) { c.Token = strings.Repeat("x", 16) }, ""},
		{"a long token", func(c *Config) { c.Token = strings.Repeat("x", 129) }, "must be 16 to 128"},
		{"a token of two segments", func(c *Config) { c.Token = token + "/" + token }, "must be 16 to 128"},
		{"a variable that Kubernetes did not fill in", func(c *Config) { c.Token = "$(SOME_VARIABLE_OF_THE_POD)" }, "must be 16 to 128"},
	} {
		config := Config{Dir: "/x", Listen: DefaultListen, Token: token}
		tt.change(&config)
		err := config.validate()
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
		if err != nil && Run(t.Context(), config) == nil {
			t.Errorf("%s: the agent runs", tt.name)
		}
	}
}

// A port that is taken, as on a node's network, ends the agent with the reason.
func TestPortIsTaken(t *testing.T) {
	other, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Close() }()
	config := newEnvironment(t).config()
	config.Listen = other.Addr().String()
	if err := Run(t.Context(), config); err == nil || !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("Run = %v", err)
	}
}
