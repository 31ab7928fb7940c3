// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"os"
	"testing"
	"time"
)

// A release of the operator from its first minute to its end, and beyond it. Two workloads call STS every second from
// the first step to the last, and must not fail once.
func TestRelease(t *testing.T) {
	if os.Getenv(e2eVariable) == "" {
		t.Skip("starts a node: make e2e")
	}
	w := newWorld(t)
	for _, step := range []struct {
		name string
		run  func(*world)
	}{
		{"the first five minutes", (*world).firstFiveMinutes},
		{"helm test", (*world).helmTest},
		{"workloads get who they are", (*world).workloads},
		{"a renewal reaches a running pod", (*world).renewal},
		{"upgrade and rollback ask STS for nothing", (*world).upgradeAndRollback},
		{"the leader is killed just before a renewal", (*world).leaderKilled},
		{"uninstall leaves what works, reinstall takes it over", (*world).uninstallAndReinstall},
		{"nobody noticed", (*world).nobodyNoticed},
	} {
		start := time.Now()
		if !t.Run(step.name, func(t *testing.T) { step.run(w.in(t)) }) {
			return
		}
		t.Logf("%s: %s", step.name, time.Since(start).Round(time.Second))
	}
}
