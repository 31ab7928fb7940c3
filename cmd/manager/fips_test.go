// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/pem"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stscredential/sts-credential-operator/test/stsemulator"
)

// As in docs/operations.md: the operator's own calls use Go's FIPS 140-3 module. The nonce of the SDK does not allow to forbid all
// other algorithms.
func TestFIPS(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "manager")
	if output, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	emulator := stsemulator.New(stsemulator.Options{})
	key := emulator.AddUser(account, "sts-operator")
	server := httptest.NewTLSServer(emulator)
	t.Cleanup(server.Close)
	authority := filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(authority, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	for mode, want := range map[string]string{
		"on":   "acs:ram::" + account + ":user/sts-operator\n",
		"only": "use of MD5 is not allowed in FIPS 140-only mode",
	} {
		t.Run(mode, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), binary, "--whoami", "--sts-endpoint="+server.URL)
			cmd.Env = append(os.Environ(), "GODEBUG=fips140="+mode, "SSL_CERT_FILE="+authority,
				"ALIBABA_CLOUD_ACCESS_KEY_ID="+key.ID, "ALIBABA_CLOUD_ACCESS_KEY_SECRET="+key.Secret)
			output, err := cmd.CombinedOutput()
			if !strings.Contains(string(output), want) || (err == nil) != (mode == "on") {
				t.Errorf("%v; printed\n%s\nwant %q", err, output, want)
			}
		})
	}
}
