// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package consumers

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/credentials"
)

// RestartPolicy is spec.rollout.
type RestartPolicy struct {
	// Auto restarts the workloads whose pods cannot read renewed credentials.
	Auto bool
	// Targets are restarted regardless of how they read the Secret.
	Targets []Workload
	// Duration is the requested lifetime of the credentials.
	Duration time.Duration
}

// StalePod is a pod that uses superseded credentials, or none.
type StalePod struct {
	Name string
	Held credentials.Replaced
}

// Due is a workload to restart.
type Due struct {
	Workload Workload
	// Pods are the pods that need the restart, the first to expire first.
	Pods []StalePod
	// Reads reports whether its pods read the Secret in any way. The pods of a target need not.
	Reads bool
}

// LateAt returns the time by which its pods should be replaced.
func (d Due) LateAt(issuance Issuance) time.Time { return issuance.lateAt(d.Pods[0].Held) }

// Finding is the result of Evaluate.
type Finding struct {
	// Pods is the number of pods that read the Secret in any way.
	Pods int
	// Stale are the pods that use superseded credentials and cannot read the current ones, the first to expire first. Pods that
	// terminate by themselves count when their credentials are about to expire, see MattersAt.
	Stale []StalePod
	// Left are the stale pods that the policy does not restart.
	Left []StalePod
	// Due are the workloads to restart, by kind and name.
	Due []Due
	// Next is when the next pod becomes stale without an event; zero if none does.
	Next time.Time
}

// Evaluate determines which pods of a namespace read a Secret with this issuance, which of them are stale, and which workloads to
// restart.
func Evaluate(now time.Time, secretName string, issuance Issuance, policy RestartPolicy, pods []Pod) (f Finding) {
	due, reading := map[Workload][]StalePod{}, map[Workload]bool{}
	for _, pod := range pods {
		read, reads := pod.Reads[secretName]
		if reads {
			f.Pods++
			reading[pod.Workload] = true
		}
		held := StalePod{pod.Name, issuance.held(pod, read.Since)}
		at, ever := issuance.mattersAt(pod, held.Held)
		stale := ever && issuance.stale(pod, read)
		if stale && at.After(now) {
			f.Next, stale = earliest(f.Next, at), false
		}
		if stale {
			f.Stale = append(f.Stale, held)
		}
		switch {
		case pod.Terminating:
		case slices.Contains(policy.Targets, pod.Workload) && (stale || issuance.targetStale(pod, read, reads)):
			due[pod.Workload] = append(due[pod.Workload], StalePod{pod.Name, issuance.held(pod, pod.Started)})
		case stale && policy.restarts(pod.Workload):
			due[pod.Workload] = append(due[pod.Workload], held)
		case stale:
			f.Left = append(f.Left, held)
		}
	}
	for workload, pods := range due {
		f.Due = append(f.Due, Due{workload, firstToExpire(pods), reading[workload]})
	}
	slices.SortFunc(f.Due, func(a, b Due) int { return strings.Compare(a.Workload.String(), b.Workload.String()) })
	f.Stale, f.Left = firstToExpire(f.Stale), firstToExpire(f.Left)
	return f
}

// restarts reports whether a workload is restarted without being a target. Pods of no known workload have the zero Workload.
func (w RestartPolicy) restarts(workload Workload) bool { return w.Auto && workload != (Workload{}) }

// firstToExpire sorts pods by the expiration of their credentials; pods without valid credentials come first.
func firstToExpire(pods []StalePod) []StalePod {
	slices.SortFunc(pods, func(a, b StalePod) int {
		return cmp.Or(a.Held.ExpiresAt.Compare(b.Held.ExpiresAt), strings.Compare(a.Name, b.Name))
	})
	return pods
}

// Step is the next step for a workload that is due.
type Step struct {
	// Restart reports whether to restart it now.
	Restart bool
	// At is when it may be restarted; zero if it is being restarted already, or need not be.
	At time.Time
	// BlockedReason is the reason why a restart does not replace all pods that need it, and Message the cause and the next step;
	// empty if it does.
	BlockedReason, Message string
}

// Next returns the next step for a workload that is due. A workload whose template has the issuance's restart annotation is being
// restarted. If its template no longer reads the Secret, and it is no target, the change of the template replaces its pods.
func (d Due) Next(now time.Time, secretName string, issuance Issuance, policy RestartPolicy, state State) Step {
	wanted := state.Elsewhere || slices.Contains(state.Holds, secretName) || slices.Contains(policy.Targets, d.Workload)
	if state.Terminating || !wanted {
		return Step{}
	}
	if state.BlockedReason != "" {
		return Step{BlockedReason: state.BlockedReason, Message: state.Message}
	}
	step, replaced := d.notReplaced(state)
	if len(replaced) == 0 || d.restarting(now, issuance, state) {
		return step
	}
	last := state.Restarted.At
	if last.After(now) { // the annotation is wrong
		last = time.Time{}
	}
	step.At = nextRestart(last, policy.Duration, replaced[0].Held, d.Reads)
	step.Restart = !now.Before(step.At)
	return step
}

// notReplaced returns the step for the pods that a restart does not replace, and the pods that it replaces.
func (d Due) notReplaced(state State) (Step, []StalePod) {
	if state.Message != "" {
		return Step{BlockedReason: v1alpha1.ReasonStrategyUnsuited, Message: state.Message}, d.Pods
	}
	var notReplaced []string
	var replaced []StalePod
	for _, pod := range d.Pods {
		if state.keepsPod(pod.Name) {
			notReplaced = append(notReplaced, pod.Name)
		} else {
			replaced = append(replaced, pod)
		}
	}
	if len(notReplaced) == 0 {
		return Step{}, replaced
	}
	return Step{BlockedReason: v1alpha1.ReasonStrategyUnsuited, Message: fmt.Sprintf(
		"%s does not replace %s: partition is %d. Set spec.updateStrategy.rollingUpdate.partition to 0, or delete these pods.",
		d.Workload, Listed(notReplaced), state.Partition)}, replaced
}

// maxListed is the number of pods that a message names.
const maxListed = 5

// Listed joins names of pods for a message: the first five of them, and how many more there are.
func Listed(names []string) string {
	if more := len(names) - maxListed; more > 0 {
		names = append(slices.Clone(names[:maxListed]), fmt.Sprintf("%d more", more))
	}
	return strings.Join(names, ", ")
}

// restarting reports whether the workload is being restarted for the issuance. A Rollout that reports the end of its restart while
// pods are stale has not restarted them: a change of its template ends a restart.
func (d Due) restarting(now time.Time, issuance Issuance, state State) bool {
	if d.Workload.Kind != rolloutKind {
		return state.Restarted.For[issuance.Credential] == issuance.ID
	}
	asked := !state.RestartAt.Before(issuance.restartAt()) && !state.RestartAt.After(now.Add(maxClockError))
	return asked && !state.RestartedAt.Equal(state.RestartAt)
}

// RestartsDisabled is the message of RolloutFailing with the reason RolloutsDisabled.
const RestartsDisabled = "spec.rollout selects workloads to restart, but the operator does not restart any. Ask a cluster administrator to enable --rollouts, with the permissions that it requires."
