// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package secret_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stscredential/sts-credential-operator/internal/secret"
)

// history renews a Secret, an hour's credentials at a time, and returns the record in the end.
func history(t *testing.T, every ...time.Duration) *secret.Record {
	t.Helper()
	var record *secret.Record
	at := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	for _, wait := range append([]time.Duration{0}, every...) {
		at = at.Add(wait)
		s := session
		s.IssuedAt, s.ExpiresAt = at, at.Add(time.Hour)
		c := credential()
		layout, err := secret.NewLayout(c.Spec.Secret, "")
		if err != nil {
			t.Fatal(err)
		}
		out, err := secret.Render(c, layout, s, secret.Request{Request: input}, secret.WriteOptions{At: at.Add(time.Second), Before: record})
		if err != nil {
			t.Fatal(err)
		}
		var intact bool
		if record, intact = secret.Read(stripped(t, out)); record == nil || !intact {
			t.Fatalf("what was rendered at %v does not read: %v, %v", at, record, intact)
		}
	}
	return record
}

func TestRecordRemembersWhatPodsMayHold(t *testing.T) {
	many := strings.Split(strings.Repeat("1m ", 30), " ")
	var often []time.Duration
	for range many {
		often = append(often, time.Minute)
	}
	for _, tt := range []struct {
		name     string
		given    []time.Duration
		replaced string // hours and minutes of the writes
	}{
		{"the first", nil, ""},
		{"the second", []time.Duration{40 * time.Minute}, "12:00"},
		{"one that works and one that does not", []time.Duration{40 * time.Minute, 40 * time.Minute}, "12:00 12:40"},
		{"of those that do not, the last", []time.Duration{40 * time.Minute, 40 * time.Minute, 40 * time.Minute}, "12:40 13:20"},
		{"after a long sleep", []time.Duration{40 * time.Minute, 10 * time.Hour}, "12:40"},
		{"of too many, the oldest and the newest", often, "12:00 12:24 12:25 12:26 12:27 12:28 12:29 12:30"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			record := history(t, tt.given...)
			for _, r := range record.Replaced {
				got = append(got, r.WrittenAt.Format("15:04"))
				if r.ExpiresAt.Sub(r.WrittenAt) != time.Hour-time.Second {
					t.Errorf("written at %v, expires at %v", r.WrittenAt, r.ExpiresAt)
				}
			}
			if strings.Join(got, " ") != tt.replaced {
				t.Errorf("replaced %v, want %s", got, tt.replaced)
			}
			if record.WrittenAt.Sub(record.IssuedAt) != time.Second {
				t.Errorf("written at %v, issued at %v", record.WrittenAt, record.IssuedAt)
			}
		})
	}
}

// A Secret that an earlier version wrote does not say when, and what somebody writes there is passed over.
func TestHistoryThatCannotBeRead(t *testing.T) {
	out := rendered()
	record, intact := secret.Read(stripped(t, out))
	if record == nil || !intact || !record.WrittenAt.Equal(record.IssuedAt) || record.Replaced != nil {
		t.Errorf("without a history: %+v, %v", record, intact)
	}
	for _, odd := range []string{"x", "2026-01-01T00:00:00Z", ",,/", strings.Repeat("2026-01-01T00:00:00Z/2026-01-01T01:00:00Z,", 12)} {
		out.Annotations["sts.alibabacloud.com/replaced"] = odd
		if record, intact := secret.Read(stripped(t, out)); intact || record != nil && len(record.Replaced) > 8 {
			t.Errorf("%s: %s", odd, fmt.Sprint(record, intact))
		}
	}
}
