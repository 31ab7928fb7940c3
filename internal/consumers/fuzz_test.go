// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package consumers

import (
	"maps"
	"strings"
	"testing"
	"time"
)

// FuzzStamp: whatever stands in a pod template's annotations is read, and what is read is what is written again.
func FuzzStamp(f *testing.F) {
	f.Add("orders=6894B13B,prices=7", "2026-11-22T10:00:00Z")
	f.Add("", "")
	f.Add("=,==,a=b=c,,", "2026-11-22T10:00:00.5+08:00")
	f.Add("orders", "yesterday")
	f.Fuzz(func(t *testing.T, stamped, at string) {
		read := parseStamp(map[string]string{stampAnnotation: stamped, restartedAtAnnotation: at})
		again := parseStamp(read.annotations())
		if !maps.Equal(again.For, read.For) || !again.At.Equal(read.At.Truncate(time.Second)) {
			t.Errorf("%q, %q: read %v, then %v", stamped, at, read, again)
		}
		for credential, id := range read.For {
			if !strings.Contains(stamped, credential+"="+id) {
				t.Errorf("%q: read %q of %q", stamped, id, credential)
			}
		}
		own := parseStamp(Stamp{For: map[string]string{"orders": ID(stamped, at)}, At: read.At}.annotations())
		if got := own.For["orders"]; got != ID(stamped, at) {
			t.Errorf("the issue %q is read as %q", ID(stamped, at), got)
		}
		if len(env.RestartPatch(Issue{}, read, State{}, "1")) == 0 {
			t.Error("no patch")
		}
	})
}
