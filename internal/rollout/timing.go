// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package rollout

import "time"

const (
	// settle is for how long after a write a container's start does not prove that it read what was written: the kubelet
	// reads a Secret a little before the start that it tells of, and clocks differ a little.
	settle = 10 * time.Second

	// A workload is restarted at most once in minPause, and in a quarter of the duration that is asked for. Where less than
	// half the life of what its pods hold is left, leastPause is enough.
	minPause   = 5 * time.Minute
	leastPause = time.Minute
)

// Issue is what a Secret holds, as far as pods are concerned. Times are by the clocks of the nodes.
type Issue struct {
	// Credential is the name of the StsCredential, ID that of the issue, see ID.
	Credential, ID string
	// WrittenAt is when it was written to the Secret.
	WrittenAt time.Time
	// Replaced is what the Secret held before, oldest first.
	Replaced []Replaced
}

// Replaced is what a Secret held before. Times are by the clocks of the nodes.
type Replaced struct{ WrittenAt, ExpiresAt time.Time }

// First reports whether the Secret held nothing before: no pod can hold anything else then.
func (i Issue) First() bool { return len(i.Replaced) == 0 }

// Stale reports whether a pod, or what of it started at since, does not hold the issue yet.
func (i Issue) Stale(pod Pod, since time.Time) bool {
	if since.IsZero() || !since.Before(i.WrittenAt.Add(settle)) {
		return false
	}
	// A pod that was made with the stamp was made after the write, whatever its node's clock says; but a workload may also
	// put its annotations on the pods that there are.
	stamped := pod.Stamp.For[i.Credential] == i.ID && pod.Created.After(i.WrittenAt.Add(-settle))
	return !stamped
}

// Held is what a pod, or what of it started at since, holds, given that it is not the issue: what the Secret held then or,
// where that is in doubt, before. It is the oldest that is known of for what is older; zero if nothing is known.
func (i Issue) Held(pod Pod, since time.Time) Replaced {
	if i.First() {
		return Replaced{}
	}
	held := i.Replaced[0]
	for _, r := range i.Replaced[1:] {
		if !since.Before(r.WrittenAt.Add(settle)) || i.stampedAfter(r, pod) {
			held = r
		}
	}
	return held
}

// stampedAfter reports whether a pod was made for a restart that came after a write, as one does within moments of it.
func (i Issue) stampedAfter(r Replaced, pod Pod) bool {
	return pod.Stamp.For[i.Credential] != "" && !pod.Stamp.At.Before(r.WrittenAt) && pod.Created.After(r.WrittenAt.Add(-settle))
}

// share is the time at which a share of its life is left to it.
func (r Replaced) share(divisor time.Duration) time.Time {
	return r.ExpiresAt.Add(-r.ExpiresAt.Sub(r.WrittenAt) / divisor)
}

// LateAt is when pods that still hold it are late: a tenth of its life is left.
func (r Replaced) LateAt() time.Time { return r.share(10) }

// NextRestart is when a workload may be restarted that was restarted last at last (zero if never). duration is what
// credentials are asked for, held what expires first of what its pods hold (zero if they hold nothing).
func NextRestart(last time.Time, duration time.Duration, held Replaced) time.Time {
	if last.IsZero() {
		return last
	}
	at := last.Add(max(minPause, duration/4))
	if urgent := held.share(2); held != (Replaced{}) && urgent.Before(at) {
		at = last.Add(leastPause)
		if urgent.After(at) {
			at = urgent
		}
	}
	return at
}
