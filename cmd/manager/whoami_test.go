// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stscredential/sts-credential-operator/internal/stsemulator"
)

func TestWhoami(t *testing.T) {
	emulator := stsemulator.New(stsemulator.Options{})
	known := emulator.AddUser(account, "sts-operator")
	server := httptest.NewServer(emulator)
	t.Cleanup(server.Close)
	for _, tt := range []struct {
		name, id, secret, want string
	}{
		{name: "a RAM user", id: known.ID, secret: known.Secret},
		{name: "a wrong secret", id: known.ID, secret: "another", want: "SignatureDoesNotMatch"},
		{name: "nobody", want: "no identity to ask STS with"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("HOME", t.TempDir())
			t.Setenv("KUBECONFIG", filepath.Join(t.TempDir(), "none")) // no cluster is asked
			t.Setenv("ALIBABA_CLOUD_ECS_METADATA_DISABLED", "true")
			t.Setenv("ALIBABA_CLOUD_ACCESS_KEY_ID", tt.id)
			t.Setenv("ALIBABA_CLOUD_ACCESS_KEY_SECRET", tt.secret)
			s, err := parse([]string{"--whoami", "--sts-endpoint=" + server.URL})
			if err != nil {
				t.Fatal(err)
			}
			before := len(emulator.Calls())
			err = run(t.Context(), s)
			if tt.want == "" && (err != nil || len(emulator.Calls()) != before+1) {
				t.Errorf("run = %v after %d calls", err, len(emulator.Calls())-before)
			}
			if tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), server.URL)) {
				t.Errorf("run = %v, want an error with %q and the endpoint", err, tt.want)
			}
		})
	}
}
