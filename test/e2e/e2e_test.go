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
	env := newEnvironment(t, node.Options{}, briefly)
	for _, release := range []struct {
		name  string
		steps []step
	}{{"life", life}, {"restarts", restarts}, {"agent", labelled}} { // the first brings the CRDs
		t.Run(release.name, func(t *testing.T) {
			t.Parallel()
			env.in(t).take(release.steps)
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
	env := newEnvironment(t, node.Options{SyncFrequency: node.KubeletSyncFrequency}, 5*time.Minute)
	env.take(append([]step{{"the CRDs", (*environment).installCRDs}}, labelled...))
}

// step is a part of a release's life.
type step struct {
	name string
	run  func(*environment)
}

// take takes one step after the other, until one fails.
func (env *environment) take(steps []step) {
	for _, step := range steps {
		start := time.Now()
		if !env.Run(step.name, func(t *testing.T) { step.run(env.in(t)) }) {
			return
		}
		env.Logf("%s: %s", step.name, time.Since(start).Round(time.Second))
	}
}

// Two workloads call STS every second from the first step to the last, and must not fail once.
var life = []step{
	{"the first five minutes", (*environment).firstFiveMinutes},
	{"helm test", (*environment).helmTest},
	{"workloads get who they are", (*environment).workloads},
	{"a renewal reaches a running pod", (*environment).renewal},
	{"upgrade and rollback ask STS for nothing", (*environment).upgradeAndRollback},
	{"the leader is killed just before a renewal", (*environment).leaderKilled},
	{"uninstall leaves what works, reinstall takes it over", (*environment).uninstallAndReinstall},
	{"nobody noticed", (*environment).nobodyNoticed},
}

// Four workloads read a Secret in four ways, through three lifetimes of what it holds.
var restarts = []step{
	{"a second release", (*environment).secondRelease},
	{"four workloads read a Secret", (*environment).fourReaders},
	{"three lifetimes", (*environment).threeLifetimes},
	{"nobody failed, and nobody was restarted in vain", (*environment).nobodyFailed},
}

// Four labelled workloads follow what a Secret holds, through its lifetimes and the operator's absence.
var labelled = []step{
	{"a release with the agent", (*environment).agentRelease},
	{"pods wait for their Secret", (*environment).waitForSecret},
	{"labelled workloads call STS", (*environment).labelledWorkloads},
	{"lifetimes of what they use", (*environment).followLifetimes},
	{"no call failed, and no pod was restarted", (*environment).labelledUndisturbed},
}
