// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"os"
	"testing"
	"time"

	"github.com/stscredential/sts-credential-operator/hack/node"
)

// Three releases of the operator share one cluster: one from its first minute to its end and beyond it, one that restarts
// workloads, and one that adds the agent to pods.
func TestRelease(t *testing.T) {
	if os.Getenv(e2eVariable) == "" {
		t.Skip("starts a node: make e2e")
	}
	t.Parallel()
	w := newWorld(t, node.Options{}, briefly)
	for _, release := range []struct {
		name  string
		steps []step
	}{{"life", life}, {"restarts", restarts}, {"agent", labelled}} { // the first brings the CRDs
		t.Run(release.name, func(t *testing.T) {
			t.Parallel()
			w.in(t).take(release.steps)
		})
	}
}

// Where the kubelet refreshes volumes as rarely as it does by default, the agent serves credentials that live five minutes: they
// are renewed after at most 100 s, the operator is away for 30 s, the kubelet takes 90 s, and the agent wants a minute.
func TestAgentWithDefaultKubelet(t *testing.T) {
	if os.Getenv(e2eVariable) == "" {
		t.Skip("starts a node: make e2e")
	}
	t.Parallel()
	w := newWorld(t, node.Options{SyncFrequency: node.KubeletSyncFrequency}, 5*time.Minute)
	w.take(append([]step{{"the CRDs", (*world).installCRDs}}, labelled...))
}

// step is a part of a release's life.
type step struct {
	name string
	run  func(*world)
}

// take takes one step after the other, until one fails.
func (w *world) take(steps []step) {
	for _, step := range steps {
		start := time.Now()
		if !w.Run(step.name, func(t *testing.T) { step.run(w.in(t)) }) {
			return
		}
		w.Logf("%s: %s", step.name, time.Since(start).Round(time.Second))
	}
}

// Two workloads call STS every second from the first step to the last, and must not fail once.
var life = []step{
	{"the first five minutes", (*world).firstFiveMinutes},
	{"helm test", (*world).helmTest},
	{"workloads get who they are", (*world).workloads},
	{"a renewal reaches a running pod", (*world).renewal},
	{"upgrade and rollback ask STS for nothing", (*world).upgradeAndRollback},
	{"the leader is killed just before a renewal", (*world).leaderKilled},
	{"uninstall leaves what works, reinstall takes it over", (*world).uninstallAndReinstall},
	{"nobody noticed", (*world).nobodyNoticed},
}

// Four workloads read a Secret in four ways, through three lifetimes of what it holds.
var restarts = []step{
	{"a second release", (*world).secondRelease},
	{"four workloads read a Secret", (*world).fourReaders},
	{"three lifetimes", (*world).threeLifetimes},
	{"nobody failed, and nobody was restarted in vain", (*world).nobodyFailed},
}

// Four labelled workloads follow what a Secret holds, through its lifetimes and the operator's absence.
var labelled = []step{
	{"a release with the agent", (*world).dockRelease},
	{"pods wait for their Secret", (*world).waitForSecret},
	{"labelled workloads call STS", (*world).labelledWorkloads},
	{"lifetimes of what they use", (*world).followLifetimes},
	{"no call failed, and no pod was restarted", (*world).labelledUndisturbed},
}
