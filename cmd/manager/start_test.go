// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stscredential/sts-credential-operator/test/stsemulator"
)

// The manager exits if its environment can never sign a call, before any call to STS or the API server. So a rollout stops at the
// first new replica.
func TestATemporaryKeyWithoutItsTokenIsRefusedAtStart(t *testing.T) {
	emulator := stsemulator.New(stsemulator.Options{})
	server := httptest.NewServer(emulator)
	t.Cleanup(server.Close)
	t.Setenv("HOME", t.TempDir())
	t.Setenv("KUBECONFIG", filepath.Join(t.TempDir(), "none"))
	t.Setenv("ALIBABA_CLOUD_ACCESS_KEY_ID", "STS.NTHushHushHushHush")
	t.Setenv("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "HushHush")
	t.Setenv("ALIBABA_CLOUD_SECURITY_TOKEN", "")
	for _, flags := range [][]string{{}, {"--whoami"}} {
		s, err := parse(append(flags, "--sts-endpoint="+server.URL))
		if err != nil {
			t.Fatal(err)
		}
		err = run(t.Context(), s)
		if err == nil || !strings.Contains(err.Error(), "Set ALIBABA_CLOUD_SECURITY_TOKEN to the token") || strings.Contains(err.Error(), "Hush") {
			t.Errorf("run %v = %v", flags, err)
		}
	}
	if calls := emulator.Calls(); len(calls) != 0 {
		t.Errorf("%d calls were made", len(calls))
	}
}

func TestARegionThatNobodyChoseIsKnownAsSuch(t *testing.T) {
	for _, c := range []struct {
		flags     []string
		variable  string
		byDefault bool
	}{
		{nil, "", true}, {nil, "cn-hangzhou", false}, {[]string{"--region=cn-hangzhou"}, "", false},
	} {
		t.Setenv("ALIBABA_CLOUD_STS_REGION", c.variable)
		if s, err := parse(c.flags); err != nil || s.regionIsDefault != c.byDefault {
			t.Errorf("%v, %q: %t, %v", c.flags, c.variable, s.regionIsDefault, err)
		}
	}
}
