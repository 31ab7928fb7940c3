// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package renewal_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stscredential/sts-credential-operator/internal/credentials"
	"github.com/stscredential/sts-credential-operator/internal/renewal"
)

var issued = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

func facts(change func(*renewal.Facts)) renewal.Facts {
	f := renewal.Facts{
		Duration: time.Hour,
		Seed:     "uid",
		Record:   &credentials.Record{IssuedAt: issued, ExpiresAt: issued.Add(time.Hour), RequestID: "r1"},
	}
	if change != nil {
		change(&f)
	}
	return f
}

func TestDecide(t *testing.T) {
	for _, tt := range []struct {
		name   string
		at     time.Duration // after the issue
		given  func(*renewal.Facts)
		cause  renewal.Cause
		usable bool
	}{
		{"fresh", 0, nil, "", true},
		{"not due", 30 * time.Minute, nil, "", true},
		{"due after two thirds", 40 * time.Minute, nil, renewal.CauseDue, true},
		{"due and expired", time.Hour, nil, renewal.CauseDue, false},
		{"no record", 0, func(f *renewal.Facts) { f.Record = nil }, renewal.CauseNoRecord, false},
		{"foreign record", 0, func(f *renewal.Facts) { f.Foreign = true }, renewal.CauseForeignRecord, false},
		{"changed request", 0, func(f *renewal.Facts) { f.RequestChanged = true }, renewal.CauseRequestChanged, false},
		{"changed imposed policy", 0, func(f *renewal.Facts) { f.PolicyChanged = true }, renewal.CausePolicyChanged, true},
		{"changed layout", 0, func(f *renewal.Facts) { f.LayoutChanged = true }, renewal.CauseLayoutChanged, false},
		{"edited data", 0, func(f *renewal.Facts) { f.Edited = true }, renewal.CauseEdited, false},
		{"edited and due: the due renewal comes first", 50 * time.Minute, func(f *renewal.Facts) { f.Edited = true }, renewal.CauseDue, false},
		{"renewal requested", 0, func(f *renewal.Facts) { f.RenewRequest = "now" }, renewal.CauseRequested, true},
		{"renewal requested and answered", 0, func(f *renewal.Facts) {
			f.RenewRequest, f.Record.HandledRenewRequest = "now", "now"
		}, "", true},
		{"requested early", 20 * time.Minute, func(f *renewal.Facts) { f.RenewEarly = true }, renewal.CauseEarly, true},
		{"requested early while suspended", 20 * time.Minute, func(f *renewal.Facts) { f.RenewEarly, f.Suspended = true, true }, "", true},
		{"due earlier where workloads are restarted", 30 * time.Minute, func(f *renewal.Facts) { f.Restarts = true }, renewal.CauseDue, true},
		{"request withdrawn", 0, func(f *renewal.Facts) { f.Record.HandledRenewRequest = "now" }, "", true},
		{"suspended and fresh", 0, func(f *renewal.Facts) { f.Suspended = true }, "", true},
		{"suspended and due", 50 * time.Minute, func(f *renewal.Facts) { f.Suspended = true }, "", true},
		{"suspended and expired", time.Hour, func(f *renewal.Facts) { f.Suspended = true }, "", false},
		{"suspended without a record", 0, func(f *renewal.Facts) { f.Suspended, f.Record = true, nil }, "", false},
		{"clock a little behind", -5 * time.Second, nil, "", true},
		{"clock ten minutes behind", -10 * time.Minute, nil, renewal.CauseClockBehind, true},
		{"clock ten minutes ahead of a one-minute credential", 10 * time.Minute, func(f *renewal.Facts) {
			f.Record.ExpiresAt = issued.Add(time.Minute)
		}, renewal.CauseDue, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := renewal.Decide(issued.Add(tt.at), facts(tt.given))
			if got.Cause != tt.cause || got.Usable != tt.usable || got.Renew() != (tt.cause != "") {
				t.Errorf("Decide = %+v, want cause %q, usable %v", got, tt.cause, tt.usable)
			}
		})
	}
}

func TestRenewAt(t *testing.T) {
	for _, tt := range []struct {
		name                            string
		lifetime, duration, renewBefore time.Duration
		earliest, latest                time.Duration // after the issue
	}{
		{"a third of an hour by default, jitter earlier", time.Hour, time.Hour, 0, 34 * time.Minute, 40 * time.Minute},
		{"a third of twelve hours", 12 * time.Hour, 12 * time.Hour, 0, 408 * time.Minute, 480 * time.Minute},
		{"renewBefore as asked", time.Hour, time.Hour, 10 * time.Minute, 44 * time.Minute, 50 * time.Minute},
		{"a shorter lifetime shrinks renewBefore", 30 * time.Minute, time.Hour, 10 * time.Minute, 22 * time.Minute, 25 * time.Minute},
		{"a longer lifetime does not stretch it", 2 * time.Hour, time.Hour, 10 * time.Minute, 98 * time.Minute, 110 * time.Minute},
		{"one minute where an hour was asked", time.Minute, time.Hour, 0, 34 * time.Second, 40 * time.Second},
		{"renewBefore near the lifetime leaves five minutes", 12 * time.Hour, 12 * time.Hour, 12*time.Hour - 5*time.Minute, 5 * time.Minute, 5 * time.Minute},
		{"and a quarter of a short one", 10 * time.Second, time.Hour, 55 * time.Minute, 2500 * time.Millisecond, 2500 * time.Millisecond},
		{"a tiny renewBefore leaves a margin", 10 * time.Second, 12 * time.Hour, time.Minute, 8 * time.Second, 9 * time.Second},
		{"no lifetime at all is due at once", 0, time.Hour, 0, 0, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := renewal.Decide(issued, facts(func(f *renewal.Facts) {
				f.Duration, f.RenewBefore = tt.duration, tt.renewBefore
				f.Record.ExpiresAt = issued.Add(tt.lifetime)
			})).RenewAt.Sub(issued)
			if got < tt.earliest || got > tt.latest {
				t.Errorf("renewed %v after the issue, want between %v and %v", got, tt.earliest, tt.latest)
			}
		})
	}
	if got := renewal.Decide(issued, facts(func(f *renewal.Facts) { f.Record = nil })).RenewAt; !got.IsZero() {
		t.Errorf("RenewAt without a record = %v, want none", got)
	}
}

// Credentials that the agent serves have 20 minutes left at each planned renewal, wherever a quarter of a short lifetime or five
// minutes can be between two renewals; others keep the default. A spec's own renewBefore is taken as it is.
func TestRenewAtOfServedCredentials(t *testing.T) {
	for _, tt := range []struct {
		name                  string
		lifetime, renewBefore time.Duration
		restarts              bool
		leastLeft, mostLeft   time.Duration
		leastWait             time.Duration
		sameAsWithoutTheAgent bool
	}{
		{"an hour", time.Hour, 0, false, 20 * time.Minute, 26 * time.Minute, 34 * time.Minute, true},
		{"an hour by STS's clock", time.Hour - time.Second, 0, false, 20 * time.Minute, 26 * time.Minute, 33 * time.Minute, false},
		{"an hour, with restarts", time.Hour, 0, true, 30 * time.Minute, 36 * time.Minute, 24 * time.Minute, true},
		{"half an hour", 30 * time.Minute, 0, false, 20 * time.Minute, 23 * time.Minute, 7 * time.Minute, false},
		{"half an hour, with restarts", 30 * time.Minute, 0, true, 20 * time.Minute, 23 * time.Minute, 7 * time.Minute, false},
		{"the shortest that allows it", 25 * time.Minute, 0, false, 20 * time.Minute, 20 * time.Minute, 5 * time.Minute, false},
		{"one second less", 25*time.Minute - time.Second, 0, false, 8 * time.Minute, 11 * time.Minute, 14 * time.Minute, true},
		{"the shortest of STS", 15 * time.Minute, 0, false, 5 * time.Minute, 6*time.Minute + 30*time.Second, 8 * time.Minute, true},
		{"twelve hours", 12 * time.Hour, 0, false, 240 * time.Minute, 312 * time.Minute, 408 * time.Minute, true},
		{"renewBefore as asked", time.Hour, 10 * time.Minute, false, 10 * time.Minute, 16 * time.Minute, 44 * time.Minute, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for i := range 1000 {
				given := facts(func(f *renewal.Facts) {
					f.Duration, f.RenewBefore, f.Restarts, f.Served = max(tt.lifetime.Round(time.Minute), 15*time.Minute), tt.renewBefore, tt.restarts, true
					f.Seed, f.Record.ExpiresAt = fmt.Sprint("uid-", i), issued.Add(tt.lifetime)
				})
				at := renewal.Decide(issued, given).RenewAt
				left, wait := issued.Add(tt.lifetime).Sub(at), at.Sub(issued)
				if left < tt.leastLeft || left > tt.mostLeft || wait < tt.leastWait {
					t.Fatalf("%v are left after %v, want between %v and %v after %v or more", left, wait, tt.leastLeft, tt.mostLeft, tt.leastWait)
				}
				given.Served = false
				if unserved := renewal.Decide(issued, given).RenewAt; tt.sameAsWithoutTheAgent != unserved.Equal(at) {
					t.Fatalf("renewed at %v, without the agent at %v", at, unserved)
				}
			}
		})
	}
}

func TestRenewAtSpreadsAHerd(t *testing.T) {
	const credentials, buckets = 1000, 10
	for _, request := range []string{"first", "second"} {
		var seen [buckets]int
		for i := range credentials {
			at := renewal.Decide(issued, facts(func(f *renewal.Facts) {
				f.Seed, f.Record.RequestID = fmt.Sprint("uid-", i), request
			})).RenewAt
			early := issued.Add(40 * time.Minute).Sub(at)
			seen[int(buckets*early/(6*time.Minute+1))]++
		}
		for bucket, n := range seen {
			if n < credentials/buckets/2 || n > credentials/buckets*2 {
				t.Errorf("%s renewal: %d of %d in the bucket %d of %d: %v", request, n, credentials, bucket, buckets, seen)
			}
		}
	}
}

func TestDriftCauses(t *testing.T) {
	for cause, want := range map[renewal.Cause]bool{
		renewal.CauseNoRecord: true, renewal.CauseForeignRecord: true, renewal.CauseEdited: true,
		renewal.CauseDue: false, renewal.CauseRequested: false, renewal.CauseRequestChanged: false,
		renewal.CausePolicyChanged: false, renewal.CauseLayoutChanged: false, renewal.CauseClockBehind: false, "": false,
	} {
		if cause.Drift() != want {
			t.Errorf("%q.Drift() = %v, want %v", cause, !want, want)
		}
	}
}

// FuzzDecide lives through lifetimes: whatever STS returns and the spec asks, the renewal is planned before expiry, kept
// until then, and comes at most four times a lifetime, or every five minutes where renewBefore asks for that.
func FuzzDecide(f *testing.F) {
	f.Add(int64(10*time.Second), int64(time.Hour), int64(0), "uid", "request", false)
	f.Add(int64(time.Hour), int64(time.Hour), int64(20*time.Minute), "uid", "request", false)
	f.Add(int64(12*time.Hour), int64(12*time.Hour), int64(715*time.Minute), "", "", false)
	f.Add(int64(time.Minute), int64(15*time.Minute), int64(10*time.Minute), "a", "b", false)
	f.Add(int64(30*time.Minute), int64(30*time.Minute), int64(0), "a", "b", true)
	f.Fuzz(func(t *testing.T, lifetime, duration, renewBefore int64, seed, requestID string, served bool) {
		within := func(v, low, high int64) time.Duration {
			return time.Duration(low + int64(uint64(v)%uint64(high-low+1)))
		}
		life := within(lifetime, int64(10*time.Second), int64(13*time.Hour))
		asked := within(duration, int64(15*time.Minute), int64(12*time.Hour))
		var before time.Duration
		if renewBefore != 0 {
			before = within(renewBefore, int64(time.Minute), int64(asked-5*time.Minute))
		}
		now := renewal.Facts{Duration: asked, RenewBefore: before, Served: served, Seed: seed, Record: &credentials.Record{
			IssuedAt: issued, ExpiresAt: issued.Add(life), RequestID: requestID,
		}}
		at := renewal.Decide(issued, now).RenewAt
		if wait := at.Sub(issued); wait < min(5*time.Minute, life/4) {
			t.Errorf("renewed after %v of %v: more than a few times a lifetime", wait, life)
		}
		if margin := issued.Add(life).Sub(at); margin < min(30*time.Second, life/10) {
			t.Errorf("renewed %v before the end of %v: too late", margin, life)
		}
		if left := issued.Add(life).Sub(at); served && renewBefore == 0 && life >= 25*time.Minute && left < 20*time.Minute {
			t.Errorf("%v are left of %v for the clients of the agent", left, life)
		}
		if d := renewal.Decide(at.Add(-1), now); d.Renew() || !d.Usable {
			t.Errorf("just before it is due: %+v, want to keep", d)
		}
		if d := renewal.Decide(at, now); d.Cause != renewal.CauseDue || !d.Usable {
			t.Errorf("when it is due: %+v, want to renew", d)
		}
	})
}
