// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package consumers

import (
	"testing"
	"time"

	"github.com/stscredential/sts-credential-operator/internal/credentials"
)

// issuance is the third of a Secret: written at 10:00, 10:40 and 11:20, each good for an hour.
func issuance(t *testing.T) Issuance {
	return Issuance{Credential: "orders", ID: "R-3", WrittenAt: at(t, "11:20:00"), Replaced: []credentials.Replaced{
		{WrittenAt: at(t, "10:00:00"), ExpiresAt: at(t, "11:00:00")},
		{WrittenAt: at(t, "10:40:00"), ExpiresAt: at(t, "11:40:00")},
	}}
}

func TestStale(t *testing.T) {
	annotation := func(id string) RestartAnnotation {
		return RestartAnnotation{For: map[string]string{"orders": id, "other": "R-3"}}
	}
	for _, tt := range []struct {
		name       string
		since      string
		created    string
		annotation RestartAnnotation
		want       bool
	}{
		{"holds nothing", "", "10:00:00", RestartAnnotation{}, false},
		{"started before", "11:00:00", "10:59:00", RestartAnnotation{}, true},
		{"started after", "11:30:00", "11:29:00", RestartAnnotation{}, false},
		{"started just after, perhaps with what was read before", "11:20:09", "11:20:00", RestartAnnotation{}, true},
		{"started when that is over", "11:20:10", "11:20:00", RestartAnnotation{}, false},
		{"restarted for it", "11:20:03", "11:20:01", annotation("R-3"), false},
		{"restarted for it, by a node whose clock is behind", "11:19:55", "11:20:01", annotation("R-3"), false},
		{"restarted for an earlier one", "11:20:03", "11:20:01", annotation("R-2"), true},
		{"restarted, but not made anew", "11:00:00", "10:59:00", annotation("R-3"), true},
		{"restarted for another credential's", "11:20:03", "11:20:01", RestartAnnotation{For: map[string]string{"other": "R-3"}}, true},
	} {
		pod := Pod{Created: at(t, tt.created), Restarted: tt.annotation}
		if got := issuance(t).stale(pod, Read{Since: at(t, tt.since)}); got != tt.want {
			t.Errorf("%s: stale = %v", tt.name, got)
		}
	}
}

// A container that started before the first write is stale, whether or not the Secret existed then.
func TestStaleAtTheFirstIssuance(t *testing.T) {
	created := Issuance{Credential: "orders", ID: "R-1", WrittenAt: at(t, "11:20:00"), Created: true}
	adopted := created
	adopted.Created = false
	for _, tt := range []struct {
		name       string
		issuance   Issuance
		optional   bool
		since, ran string
		want       bool
	}{
		{"started without the Secret", created, true, "11:19:00", "11:19:00", true},
		{"perhaps started without it", created, true, "11:20:05", "11:20:05", true},
		{"started with it", created, true, "11:20:10", "11:20:10", false},
		{"waited for it", created, false, "11:20:00", "11:20:00", false},
		{"waited for it, and seems to have started a moment before", created, false, "11:19:58", "11:19:58", false},
		{"a file of it, in a pod that waited", created, false, "11:00:00", "11:20:03", false},
		{"holds one of that name that was deleted", created, false, "10:00:00", "10:00:00", true},
		{"holds a file of one that was deleted", created, false, "10:00:00", "10:00:00", true},
		{"has not started", created, false, "", "", false},
		{"has not started, and need not wait", created, true, "", "", false},
		{"holds what was there before it was adopted", adopted, false, "11:19:00", "11:19:00", true},
		{"perhaps holds what was there before it was adopted", adopted, false, "11:20:05", "11:20:05", true},
	} {
		if got := tt.issuance.stale(Pod{}, Read{Since: at(t, tt.since), Ran: at(t, tt.ran), Optional: tt.optional}); got != tt.want {
			t.Errorf("%s: stale = %v", tt.name, got)
		}
	}
}

// Targets that read a volume once are restarted at the first issuance only if they started without the Secret.
func TestTargetStaleAtTheFirstIssuance(t *testing.T) {
	created := Issuance{Credential: "orders", ID: "R-1", WrittenAt: at(t, "11:20:00"), Created: true}
	pod := Pod{Started: at(t, "11:00:00")}
	for _, tt := range []struct {
		name            string
		reads, optional bool
		ran             string
		want            bool
	}{
		{"does not read it", false, false, "11:00:00", false},
		{"waited for the volume", true, false, "11:20:01", false},
		{"started without it", true, true, "11:00:01", true},
		{"has a volume of one that was deleted", true, false, "11:00:01", true},
	} {
		if got := created.targetStale(pod, Read{Optional: tt.optional, Ran: at(t, tt.ran)}, tt.reads); got != tt.want {
			t.Errorf("%s: stale = %v", tt.name, got)
		}
	}
	if !issuance(t).targetStale(pod, Read{}, false) {
		t.Error("a later issuance does not restart what does not refer to the Secret")
	}
}

// A pod that ends by itself does not count before a quarter of the lifetime of its credentials is left.
func TestMattersAt(t *testing.T) {
	held := credentials.Replaced{WrittenAt: at(t, "10:00:00"), ExpiresAt: at(t, "11:00:00")}
	for _, tt := range []struct {
		name string
		pod  Pod
		held credentials.Replaced
		want string
		ever bool
	}{
		{"runs for ever", Pod{}, held, "", true},
		{"ends", Pod{Ends: true}, held, "10:45:00", true},
		{"ends in time", Pod{Ends: true, Deadline: at(t, "10:59:59")}, held, "", false},
		{"may end too late", Pod{Ends: true, Deadline: at(t, "11:30:00")}, held, "10:45:00", true},
		{"ends, and holds nothing that works", Pod{Ends: true}, credentials.Replaced{}, "", true},
	} {
		if got, ever := issuance(t).mattersAt(tt.pod, tt.held); !got.Equal(at(t, tt.want)) || ever != tt.ever {
			t.Errorf("%s: at %v, ever %v", tt.name, got, ever)
		}
	}
}

func TestHeld(t *testing.T) {
	for _, tt := range []struct{ name, since, want string }{
		{"from before all that is known", "09:00:00", "11:00:00"},
		{"the first", "10:30:00", "11:00:00"},
		{"perhaps the first still", "10:40:09", "11:00:00"},
		{"the second", "10:40:10", "11:40:00"},
		{"the last before", "11:19:00", "11:40:00"},
		{"perhaps the last before", "11:20:05", "11:40:00"},
	} {
		if got := issuance(t).held(Pod{}, at(t, tt.since)).ExpiresAt; !got.Equal(at(t, tt.want)) {
			t.Errorf("%s: expires at %v, want %s", tt.name, got, tt.want)
		}
	}
	first := Issuance{WrittenAt: at(t, "11:20:00")}
	if held := first.held(Pod{}, at(t, "10:00:00")); !held.Unknown() {
		t.Errorf("before the first issuance, pods held %v", held)
	}
}

// A pod that a restart made moments after a write holds what was written.
func TestHeldSinceARestart(t *testing.T) {
	const first, second = "11:00:00", "11:40:00" // when they expire
	for _, tt := range []struct{ name, credential, restarted, created, want string }{
		{"restarted for the second", "orders", "10:40:01", "10:40:02", second},
		{"restarted for the second, in its very second", "orders", "10:40:00", "10:40:00", second},
		{"restarted for the second, by a node whose clock is behind", "orders", "10:40:01", "10:39:55", second},
		{"restarted for the first", "orders", "10:00:01", "10:40:02", first},
		{"restarted for another credential", "other", "10:40:01", "10:40:02", first},
		{"restarted, but not made anew", "orders", "10:40:01", "10:20:00", first},
	} {
		pod := Pod{Created: at(t, tt.created), Restarted: RestartAnnotation{For: map[string]string{tt.credential: "R"}, At: at(t, tt.restarted)}}
		if got := issuance(t).held(pod, at(t, tt.created).Add(time.Second)).ExpiresAt; !got.Equal(at(t, tt.want)) {
			t.Errorf("%s: expires at %v, want %s", tt.name, got, tt.want)
		}
	}
}

func TestLateAt(t *testing.T) {
	if got := issuance(t).lateAt(issuance(t).Replaced[0]); !got.Equal(at(t, "10:54:00")) {
		t.Errorf("late at %v", got)
	}
	if got := issuance(t).lateAt(credentials.Replaced{}); !got.Equal(at(t, "11:50:00")) {
		t.Errorf("late at %v with nothing that works", got)
	}
}

func TestNextRestart(t *testing.T) {
	held := func(written, expires string) credentials.Replaced {
		return credentials.Replaced{WrittenAt: at(t, written), ExpiresAt: at(t, expires)}
	}
	for _, tt := range []struct {
		name, last string
		duration   time.Duration
		held       credentials.Replaced
		want       string
	}{
		{"nothing that works", "10:00:00", 12 * time.Hour, credentials.Replaced{}, "10:05:00"},
		{"never restarted", "", time.Hour, held("10:00:00", "11:00:00"), ""},
		{"a quarter of the duration", "10:00:00", time.Hour, held("10:00:00", "11:00:00"), "10:15:00"},
		{"five minutes at least", "10:00:00", 15 * time.Minute, held("10:00:00", "10:15:00"), "10:05:00"},
		{"half of what is held is over before", "10:00:00", 12 * time.Hour, held("10:00:00", "12:00:00"), "11:00:00"},
		{"half of what is held is long over", "10:00:00", time.Hour, held("09:00:00", "10:10:00"), "10:01:00"},
		{"three minutes of life", "10:00:00", 15 * time.Minute, held("10:00:00", "10:03:00"), "10:01:30"},
	} {
		if got := nextRestart(at(t, tt.last), tt.duration, tt.held, true); !got.Equal(at(t, tt.want)) {
			t.Errorf("%s: got %v, want %s", tt.name, got, tt.want)
		}
	}
}
