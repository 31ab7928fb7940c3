// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package rollout

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// Wish is what spec.rollout asks for.
type Wish struct {
	// Auto restarts the workloads whose pods cannot refresh what they read, Targets are restarted however they read it.
	Auto    bool
	Targets []Workload
	// Duration that credentials are asked for.
	Duration time.Duration
}

// StalePod is a pod that holds what a Secret held before.
type StalePod struct {
	Name string
	Held Replaced
}

// Due is a workload to restart, because of these pods: the one whose credentials expire first comes first.
type Due struct {
	Workload Workload
	Pods     []StalePod
	// Reads: its pods read the Secret, in whatever way. Those of a target need not.
	Reads bool
}

// Late reports whether its pods should have been replaced by now, and when they should be.
func (d Due) Late(now time.Time) (late bool, at time.Time) {
	at = d.Pods[0].Held.LateAt()
	return !now.Before(at), at
}

// Finding is how the pods of a namespace stand to a Secret.
type Finding struct {
	// Pods that read the Secret, in whatever way.
	Pods int
	// Stale are those that hold what it held before and cannot refresh; the one whose credentials expire first comes first.
	Stale []StalePod
	// Left are those of the stale pods that nobody is asked to replace.
	Left []StalePod
	// Due are the workloads to restart, by kind and name.
	Due []Due
}

// Survey finds out how the pods of a namespace stand to a Secret that holds this issue. The first issue makes no pod stale.
func Survey(secretName string, issue Issue, wish Wish, pods []Pod) (f Finding) {
	due, reading := map[Workload][]StalePod{}, map[Workload]bool{}
	for _, pod := range pods {
		read, reads := pod.Reads[secretName]
		if reads {
			f.Pods++
			reading[pod.Workload] = true
		}
		if !issue.First() {
			f.judge(issue, wish, pod, read.Since, due)
		}
	}
	for workload, pods := range due {
		f.Due = append(f.Due, Due{workload, firstToExpire(pods), reading[workload]})
	}
	slices.SortFunc(f.Due, func(a, b Due) int { return strings.Compare(a.Workload.String(), b.Workload.String()) })
	f.Stale, f.Left = firstToExpire(f.Stale), firstToExpire(f.Left)
	return f
}

// judge finds out how one pod stands to the issue, what of it that does not refresh having started at since.
func (f *Finding) judge(issue Issue, wish Wish, pod Pod, since time.Time, due map[Workload][]StalePod) {
	stale, held := issue.Stale(pod, since), StalePod{pod.Name, issue.Held(pod, since)}
	if stale {
		f.Stale = append(f.Stale, held)
	}
	switch {
	case pod.Terminating:
	case slices.Contains(wish.Targets, pod.Workload) && (stale || issue.Stale(pod, pod.Started)):
		due[pod.Workload] = append(due[pod.Workload], StalePod{pod.Name, issue.Held(pod, pod.Started)})
	case stale && wish.Auto && pod.Workload != (Workload{}):
		due[pod.Workload] = append(due[pod.Workload], held)
	case stale:
		f.Left = append(f.Left, held)
	}
}

func firstToExpire(pods []StalePod) []StalePod {
	slices.SortFunc(pods, func(a, b StalePod) int {
		return cmp.Or(a.Held.ExpiresAt.Compare(b.Held.ExpiresAt), strings.Compare(a.Name, b.Name))
	})
	return pods
}

// Step is what to do about a workload that is due.
type Step struct {
	// Restart it now.
	Restart bool
	// At is when it may be restarted; zero if it is being restarted, or does not want to be.
	At time.Time
	// Obstacle is the reason why a restart would replace no pod, with a sentence that says what to do; empty if it would.
	Obstacle, Message string
}

// Next says what to do about a workload that is due. One whose template carries the issue's stamp is being restarted; one
// whose template does not hold the Secret any more, and is no target, is being replaced for that by whoever changed it.
func (d Due) Next(now time.Time, secretName string, issue Issue, wish Wish, state State) Step {
	wanted := slices.Contains(state.Holds, secretName) || slices.Contains(wish.Targets, d.Workload)
	switch {
	case state.Ending, !wanted:
		return Step{}
	case state.Obstacle != "":
		return Step{Obstacle: state.Obstacle, Message: state.Message}
	case state.Stamp.For[issue.Credential] == issue.ID:
		return Step{}
	}
	at := NextRestart(state.Stamp.At, wish.Duration, d.held())
	return Step{Restart: !now.Before(at), At: at}
}

// held is what expires first of what its pods hold; zero if they do not read the Secret: then nothing is urgent.
func (d Due) held() Replaced {
	if !d.Reads {
		return Replaced{}
	}
	return d.Pods[0].Held
}
