// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package ratelimit

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// claims are written namespace/name, then when it expires, in minutes from now, and "new" for a first issue.
func claimOf(t *testing.T, text string) Claim {
	t.Helper()
	fields := strings.Fields(text)
	namespace, name, ok := strings.Cut(fields[0], "/")
	if !ok {
		t.Fatalf("%q is no claim", text)
	}
	c := Claim{NamespacedName: types.NamespacedName{Namespace: namespace, Name: name}}
	for _, field := range fields[1:] {
		if field == "new" {
			c.First = true
			continue
		}
		minutes, err := strconv.Atoi(field)
		if err != nil {
			t.Fatal(err)
		}
		c.Expires = time.Date(2026, 3, 1, 12, minutes, 0, 0, time.UTC)
	}
	return c
}

func TestQueueOrder(t *testing.T) {
	for _, tt := range []struct {
		name  string
		given []string
		gone  []int // of them, which are canceled
		want  string
	}{
		{"no claim", nil, nil, ""},
		{"the earliest expiry goes first, whoever came first", []string{"n/a 30", "n/b 10", "n/c 20"}, nil, "n/b n/c n/a"},
		{"what has expired is the earliest", []string{"n/a 30", "n/b -10"}, nil, "n/b n/a"},
		{"of the same expiration, the first one", []string{"n/b 10", "n/a 10", "n/c 10"}, nil, "n/b n/a n/c"},
		{"new ones wait for renewals", []string{"n/new new", "n/a 30", "n/b 40"}, nil, "n/a n/b n/new"},
		{"and go in the order of their coming", []string{"n/b new", "n/a new", "n/c new"}, nil, "n/b n/a n/c"},
		{"a claim without an expiration is a first issuance", []string{"n/b", "n/a 10"}, nil, "n/a n/b"},
		{"a canceled claim delays no other", []string{"n/a 10", "n/b 20", "n/c new", "n/d new"}, []int{0, 2}, "n/b n/d"},
		{
			"each tenth admission is a first issuance, however many renewals wait",
			slices.Concat(renewals("n/r", 12), []string{"n/new new", "n/newer new"}), nil,
			"n/r1 n/r2 n/r3 n/r4 n/r5 n/r6 n/r7 n/r8 n/r9 n/new n/r10 n/r11 n/r12 n/newer",
		},
		{
			"changed ones that still have something go by its expiry, too", slices.Concat(renewals("n/r", 3), []string{"n/changed 2 new", "n/new new"}), nil,
			"n/r1 n/r2 n/changed n/r3 n/new",
		},
		{
			"each second admission is round robin",
			slices.Concat(renewals("hog/r", 6), []string{"b/x 50", "c/x 60", "b/y 40"}), nil,
			"hog/r1 b/y hog/r2 c/x hog/r3 b/x hog/r4 hog/r5 hog/r6",
		},
		{
			"first issuances are round robin",
			[]string{"hog/1 new", "hog/2 new", "hog/3 new", "b/1 new", "c/1 new", "b/2 new"}, nil,
			"hog/1 b/1 c/1 hog/2 b/2 hog/3",
		},
		{
			"renewals of a namespace do not hold back its new ones",
			slices.Concat(renewals("b/r", 20), []string{"hog/1 new", "hog/2 new", "hog/3 new", "b/new new"}), nil,
			"b/r1 b/r2 b/r3 b/r4 b/r5 b/r6 b/r7 b/r8 b/r9 hog/1 b/r10 b/r11 b/r12 b/r13 b/r14 b/r15 b/r16 b/r17 b/r18 b/new b/r19 b/r20 hog/2 hog/3",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			q := newQueue()
			var came []*waiter
			for i, text := range tt.given {
				w := &waiter{Claim: claimOf(t, text), arrival: uint64(i)}
				came = append(came, w)
				q.push(w)
			}
			for _, i := range tt.gone {
				q.remove(came[i])
			}
			var got []string
			for q.waiting > 0 {
				got = append(got, q.pop().String())
			}
			if strings.Join(got, " ") != tt.want {
				t.Errorf("got  %s\nwant %s", strings.Join(got, " "), tt.want)
			}
			if len(q.renewals.namespaces)+len(q.firsts.namespaces) > 0 {
				t.Error("state is left of canceled claims")
			}
		})
	}
}

// renewals are n of them, the earliest expiry first.
func renewals(prefix string, n int) (claims []string) {
	for i := range n {
		claims = append(claims, fmt.Sprint(prefix, i+1, " ", i+1))
	}
	return claims
}

// Each claim is admitted once, in whatever order claims come and are canceled, and no state is left.
func TestQueueLosesNoClaim(t *testing.T) {
	q := newQueue()
	in := map[string]*waiter{}
	for i := range 5000 {
		name := fmt.Sprint("n", i%7, "/", i%1301)
		if w := in[name]; w != nil {
			q.remove(w)
			delete(in, name)
			continue
		}
		text := fmt.Sprint(name, " ", i*7919%600)
		if i%3 == 0 {
			text = name + " new"
		}
		w := &waiter{Claim: claimOf(t, text), arrival: uint64(i)}
		q.push(w)
		if in[name] = w; i%5 == 0 {
			delete(in, q.pop().String())
		}
		if q.waiting != len(in) {
			t.Fatalf("%d wait, want %d", q.waiting, len(in))
		}
	}
	for q.waiting > 0 {
		name := q.pop().String()
		if in[name] == nil {
			t.Fatalf("%s is called, which does not wait", name)
		}
		delete(in, name)
	}
	if len(in) > 0 {
		t.Errorf("%d claims were lost", len(in))
	}
}
