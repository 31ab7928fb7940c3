// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stscredential/sts-credential-operator/test/stsemulator"
)

func TestWhoami(t *testing.T) {
	emulator := stsemulator.New(stsemulator.Options{})
	known := emulator.AddUser(account, "sts-operator")
	server := httptest.NewServer(emulator)
	t.Cleanup(server.Close)
	for _, tt := range []struct {
		name, id, secret, expiration, printed, want string
	}{
		{name: "a RAM user", id: known.ID, secret: known.Secret, printed: "acs:ram::" + account + ":user/sts-operator\n"},
		{name: "with the expiration of a Secret", id: known.ID, secret: known.Secret, expiration: "2026-01-01T01:00:00Z",
			printed: "acs:ram::" + account + ":user/sts-operator, expires 2026-01-01T01:00:00Z\n"},
		{name: "a wrong secret", id: known.ID, secret: "another", want: "SignatureDoesNotMatch"},
		{name: "nobody", want: "no credentials to call STS"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("HOME", t.TempDir())
			t.Setenv("KUBECONFIG", filepath.Join(t.TempDir(), "none")) // no cluster is asked
			t.Setenv("ALIBABA_CLOUD_ECS_METADATA_DISABLED", "true")
			t.Setenv("ALIBABA_CLOUD_ACCESS_KEY_ID", tt.id)
			t.Setenv("ALIBABA_CLOUD_ACCESS_KEY_SECRET", tt.secret)
			t.Setenv("expiration", tt.expiration)
			s, err := parse([]string{"--whoami", "--sts-endpoint=" + server.URL})
			if err != nil {
				t.Fatal(err)
			}
			before := len(emulator.Calls())
			printed := standardOutput(t)
			err = run(t.Context(), s)
			if got := printed(); got != tt.printed {
				t.Errorf("printed %q, want %q", got, tt.printed)
			}
			if tt.want == "" && (err != nil || len(emulator.Calls()) != before+1) {
				t.Errorf("run = %v after %d calls", err, len(emulator.Calls())-before)
			}
			if tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), server.URL)) {
				t.Errorf("run = %v, want an error with %q and the endpoint", err, tt.want)
			}
		})
	}
}

// standardOutput replaces the standard output of the process until the test ends, and returns what was printed since.
func standardOutput(t *testing.T) (printed func() string) {
	t.Helper()
	file, err := os.Create(filepath.Join(t.TempDir(), "stdout"))
	if err != nil {
		t.Fatal(err)
	}
	before := os.Stdout
	os.Stdout = file
	t.Cleanup(func() { os.Stdout = before; _ = file.Close() })
	return func() string {
		content, err := os.ReadFile(file.Name())
		if err != nil {
			t.Error(err)
		}
		return string(content)
	}
}
