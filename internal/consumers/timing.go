// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package consumers

import (
	"slices"
	"time"

	"github.com/stscredential/sts-credential-operator/internal/credentials"
)

const (
	// settle is for how long after a write a container's start does not prove that it read what was written: the kubelet
	// reads a Secret a little before the start that it reports, from a cache that follows the API server with a delay, and
	// the clocks of several API servers differ a little.
	settle = 10 * time.Second
	// slack is how much too early the start of a container may be calculated, see apiClock.
	slack = 2 * time.Second

	// A workload is restarted at most once in minPause, and in a quarter of the duration that is asked for. Where less than
	// half the life of what its pods hold is left, leastPause is enough; where they hold nothing that works, minPause is.
	minPause   = 5 * time.Minute
	leastPause = time.Minute

	// unserved is how long pods may hold nothing that works, once there are credentials, before they are late.
	unserved = 30 * time.Minute
)

// Issuance is what a Secret holds, as far as pods are concerned.
type Issuance struct {
	// Credential is the name of the StsCredential, ID that of the issuance, see ID.
	Credential, ID string
	// WrittenAt is when it was written to the Secret, by the API server's clock.
	WrittenAt time.Time
	// Created: the write made the Secret, as far as is known, so that a container that needs it started after the write.
	Created bool
	// Replaced is what the Secret held before, oldest first, expiring by the operator's clock.
	Replaced []credentials.Replaced
}

// IssuanceOf returns what a Secret holds by the record of the StsCredential of this name. skew is by how much STS's clock is
// ahead of the operator's.
func IssuanceOf(name string, r *credentials.Record, skew time.Duration) Issuance {
	issuance := Issuance{
		Credential: name, ID: ID(r.RequestID, r.AccessKeyID), WrittenAt: r.StoredAt,
		Created: len(r.Replaced) == 0 && !r.Adopted, Replaced: slices.Clone(r.Replaced),
	}
	for i := range issuance.Replaced {
		issuance.Replaced[i].ExpiresAt = issuance.Replaced[i].ExpiresAt.Add(-skew)
	}
	return issuance
}

// Stale reports whether a pod holds something else than the issuance, and cannot refresh it: nothing, what the Secret held
// before it was adopted, or an earlier issuance.
func (i Issuance) Stale(pod Pod, read Read) bool {
	since := read.Since
	if i.Created && !read.Optional && !since.IsZero() {
		// It can only have started once the Secret was there.
		return i.startedBefore(pod, read.Ran, -slack)
	}
	return i.startedBefore(pod, since, settle)
}

// TargetStale reports whether a pod of a target started before the issuance was written, however it reads the Secret. A pod
// that does not refer to the Secret is stale from the second issuance on. One in which the agent serves the Secret never is.
func (i Issuance) TargetStale(pod Pod, read Read, reads bool) bool {
	switch {
	case read.How&Agent != 0:
		return false
	case i.Created && !reads:
		return false
	case i.Created && !read.Optional:
		return i.startedBefore(pod, read.Ran, -slack)
	}
	return i.startedBefore(pod, pod.Started, settle)
}

// startedBefore reports whether something of a pod started before the issuance was written or not longer than margin after.
// Nothing that has not started did.
func (i Issuance) startedBefore(pod Pod, start time.Time, margin time.Duration) bool {
	if start.IsZero() || !start.Before(i.WrittenAt.Add(margin)) {
		return false
	}
	// A pod that was made with the restart annotation was made after the write; but a workload may also put its
	// annotations on the pods that there are.
	restarted := pod.Restarted.For[i.Credential] == i.ID && pod.Created.After(i.WrittenAt.Add(-settle))
	return !restarted
}

// Held is what a pod, or what of it started at since, holds, given that it is not the issuance: what the Secret held then or,
// where that is in doubt, before. It is the oldest that is known of for what is older.
func (i Issuance) Held(pod Pod, since time.Time) credentials.Replaced {
	if len(i.Replaced) == 0 {
		return credentials.Replaced{}
	}
	held := i.Replaced[0]
	for _, r := range i.Replaced[1:] {
		if !since.Before(r.WrittenAt.Add(settle)) || i.restartedAfter(r, pod) {
			held = r
		}
	}
	return held
}

// restartedAfter reports whether a pod was made for a restart that came after a write, as one does within moments of it.
func (i Issuance) restartedAfter(r credentials.Replaced, pod Pod) bool {
	return pod.Restarted.For[i.Credential] != "" && !pod.Restarted.At.Before(r.WrittenAt) && pod.Created.After(r.WrittenAt.Add(-settle))
}

// shareLeft is the time at which a share of the life of what was replaced is left.
func shareLeft(r credentials.Replaced, divisor time.Duration) time.Time {
	return r.ExpiresAt.Add(-r.ExpiresAt.Sub(r.WrittenAt) / divisor)
}

// LateAt is when pods that still hold it are late: a tenth of its life is left. Pods that hold nothing that works are late
// half an hour after something was written.
func (i Issuance) LateAt(held credentials.Replaced) time.Time {
	if held.Unknown() {
		return i.WrittenAt.Add(unserved)
	}
	return shareLeft(held, 10)
}

// MattersAt is when it matters that a pod is stale: at once or, if the pod ends by itself, once a quarter of the life of
// what it holds is left. It never matters if the pod ends before that expires.
func (i Issuance) MattersAt(pod Pod, held credentials.Replaced) (at time.Time, ever bool) {
	switch {
	case !pod.Ends || held.Unknown():
		return time.Time{}, true
	case !pod.Deadline.IsZero() && pod.Deadline.Before(held.ExpiresAt):
		return time.Time{}, false
	}
	return shareLeft(held, 4), true
}

// NextRestart is when a workload may be restarted that was restarted last at last (zero if never). duration is what
// credentials are asked for, held what expires first of what its pods hold; reads is false if they do not read the Secret,
// so that nothing is urgent.
func NextRestart(last time.Time, duration time.Duration, held credentials.Replaced, reads bool) time.Time {
	if last.IsZero() {
		return last
	}
	at := last.Add(max(minPause, duration/4))
	switch {
	case !reads:
		return at
	case held.Unknown():
		return last.Add(minPause)
	}
	if urgent := shareLeft(held, 2); urgent.Before(at) {
		at = last.Add(leastPause)
		if urgent.After(at) {
			at = urgent
		}
	}
	return at
}
