// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package consumers

import (
	"maps"
	"strings"
	"testing"
	"time"
)

// FuzzRestartAnnotation: whatever stands in a pod template's annotations is read, and what is read is what is written again.
func FuzzRestartAnnotation(f *testing.F) {
	f.Add("orders=6894B13B,prices=7", "2026-11-22T10:00:00Z")
	f.Add("", "")
	f.Add("=,==,a=b=c,,", "2026-11-22T10:00:00.5+08:00")
	f.Add("orders", "yesterday")
	f.Fuzz(func(t *testing.T, restarted, at string) {
		read := parseRestartAnnotation(map[string]string{restartedForAnnotation: restarted, restartedAtAnnotation: at})
		again := parseRestartAnnotation(read.annotations())
		if !maps.Equal(again.For, read.For) || !again.At.Equal(read.At.Truncate(time.Second)) {
			t.Errorf("%q, %q: read %v, then %v", restarted, at, read, again)
		}
		for credential, id := range read.For {
			if !strings.Contains(restarted, credential+"="+id) {
				t.Errorf("%q: read %q of %q", restarted, id, credential)
			}
		}
		own := parseRestartAnnotation(RestartAnnotation{For: map[string]string{"orders": ID(restarted, at)}, At: read.At}.annotations())
		if got := own.For["orders"]; got != ID(restarted, at) {
			t.Errorf("the issuance %q is read as %q", ID(restarted, at), got)
		}
		if len(env.RestartPatch(Issuance{}, read, State{}, "1")) == 0 {
			t.Error("no patch")
		}
	})
}
