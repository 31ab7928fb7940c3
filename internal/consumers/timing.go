// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package consumers

import (
	"slices"
	"time"

	"github.com/stscredential/sts-credential-operator/internal/credentials"
)

const (
	// startDelay is how long after a write a container may still start with the previous credentials: the kubelet reads a Secret
	// a little before the start that it reports, from a cache that lags behind the API server, and the clocks of several API
	// servers differ a little.
	startDelay = 10 * time.Second
	// slack is by how much the calculated start of a container may be too early, see apiClock.
	slack = 2 * time.Second

	// A workload is restarted at most once in minPause, and in a quarter of the requested duration. If less than half of the
	// lifetime of its pods' credentials is left, once in leastPause; if they have no valid credentials, once in minPause.
	minPause   = 5 * time.Minute
	leastPause = time.Minute

	// unserved is how long pods may have no valid credentials after an issuance before they are late.
	unserved = 30 * time.Minute
)

// Issuance is what is known of the credentials in a Secret.
type Issuance struct {
	// Credential is the name of the StsCredential, ID that of the issuance, see ID.
	Credential, ID string
	// WrittenAt is when they were written to the Secret, by the API server's clock.
	WrittenAt time.Time
	// Created reports whether the write created the Secret, so that a container that requires it started after the write.
	Created bool
	// Replaced are the earlier credentials of the Secret, oldest first. Their expiration is by the operator's clock.
	Replaced []credentials.Replaced
}

// IssuanceOf returns the issuance of the StsCredential of this name by the record on its Secret. skew is by how much STS's clock is
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

// stale reports whether a pod uses other values than the issuance's, and cannot read the current ones: none, those from before the
// Secret was adopted, or those of an earlier issuance.
func (i Issuance) stale(pod Pod, read Read) bool {
	since := read.Since
	if i.Created && !read.Optional && !since.IsZero() {
		// It can only have started once the Secret was there.
		return i.startedBefore(pod, read.Ran, -slack)
	}
	return i.startedBefore(pod, since, startDelay)
}

// targetStale reports whether a pod of a target started before the issuance was written, however it reads the Secret. A pod
// that does not refer to the Secret is stale from the second issuance on. One in which the agent serves the Secret never is.
func (i Issuance) targetStale(pod Pod, read Read, reads bool) bool {
	switch {
	case read.How&Agent != 0:
		return false
	case i.Created && !reads:
		return false
	case i.Created && !read.Optional:
		return i.startedBefore(pod, read.Ran, -slack)
	}
	return i.startedBefore(pod, pod.Started, startDelay)
}

// startedBefore reports whether a part of a pod started before the issuance was written, or within margin after that. It is false
// if it has not started.
func (i Issuance) startedBefore(pod Pod, start time.Time, margin time.Duration) bool {
	if start.IsZero() || !start.Before(i.WrittenAt.Add(margin)) {
		return false
	}
	// A pod that was made with the restart annotation was made after the write; but a workload may also put its
	// annotations on the pods that there are.
	restarted := pod.Restarted.For[i.Credential] == i.ID && pod.Created.After(i.WrittenAt.Add(-startDelay))
	return !restarted
}

// held returns the earlier credentials that a stale pod, or the part of it that started at since, uses: those in the Secret at that
// time or, in doubt, those before them. Older ones count as the oldest that are known.
func (i Issuance) held(pod Pod, since time.Time) credentials.Replaced {
	if len(i.Replaced) == 0 {
		return credentials.Replaced{}
	}
	held := i.Replaced[0]
	for _, r := range i.Replaced[1:] {
		if !since.Before(r.WrittenAt.Add(startDelay)) || i.restartedAfter(r, pod) {
			held = r
		}
	}
	return held
}

// restartedAfter reports whether a pod was created by a restart after a write, which comes within moments of it.
func (i Issuance) restartedAfter(r credentials.Replaced, pod Pod) bool {
	return pod.Restarted.For[i.Credential] != "" && !pod.Restarted.At.Before(r.WrittenAt) && pod.Created.After(r.WrittenAt.Add(-startDelay))
}

// shareLeft returns the time at which one part in divisor of the lifetime of earlier credentials is left.
func shareLeft(r credentials.Replaced, divisor time.Duration) time.Time {
	return r.ExpiresAt.Add(-r.ExpiresAt.Sub(r.WrittenAt) / divisor)
}

// lateAt returns when pods that still use these credentials are late: when a tenth of their lifetime is left. Pods without valid
// credentials are late half an hour after the issuance was written.
func (i Issuance) lateAt(held credentials.Replaced) time.Time {
	if held.Unknown() {
		return i.WrittenAt.Add(unserved)
	}
	return shareLeft(held, 10)
}

// mattersAt returns when a stale pod counts: at once or, if the pod terminates by itself, when a quarter of the lifetime of its
// credentials is left. It never counts if it terminates before they expire.
func (i Issuance) mattersAt(pod Pod, held credentials.Replaced) (at time.Time, ever bool) {
	switch {
	case !pod.Ends || held.Unknown():
		return time.Time{}, true
	case !pod.Deadline.IsZero() && pod.Deadline.Before(held.ExpiresAt):
		return time.Time{}, false
	}
	return shareLeft(held, 4), true
}

// nextRestart returns when a workload may be restarted whose last restart was at last (zero if never). duration is the requested
// lifetime, held are the credentials of its pods that expire first; reads is false if the pods do not read the Secret, so that
// nothing is urgent.
func nextRestart(last time.Time, duration time.Duration, held credentials.Replaced, reads bool) time.Time {
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
