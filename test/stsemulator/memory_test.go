// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stsemulator

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestNoncesAreForgotten(t *testing.T) {
	log := nonceLog{seen: map[string]time.Time{}}
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	const perMinute = 100
	for minute := range 120 {
		for i := range perMinute {
			if !log.use(fmt.Sprintf("%d-%d", minute, i), now.Add(time.Duration(minute)*time.Minute)) {
				t.Fatal("a new nonce is taken for a used one")
			}
		}
	}
	want := perMinute * (int(nonceMemory/time.Minute) + 1)
	if len(log.seen) != want || len(log.order) != want {
		t.Errorf("%d nonces remembered, %d in order, want %d", len(log.seen), len(log.order), want)
	}
}

func TestCallsAreBounded(t *testing.T) {
	var log callLog
	req, _ := newRequest(httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), "POST", "/", nil))
	for range maxCalls + 1 {
		log.begin(req)
	}
	if want := maxCalls/2 + 1; len(log.calls) != want {
		t.Errorf("%d calls kept, want %d", len(log.calls), want)
	}
}

// TestTokensOfAnyClaims seals the shortest and the longest claims there can be.
func TestTokensOfAnyClaims(t *testing.T) {
	sealer := newTokenSealer()
	long := strings.Repeat("x", 64)
	for _, claims := range []tokenClaims{
		{},
		{"STS.N" + long[:24], "acs:ram::1234567890123456:role/" + long, long, 1 << 40},
	} {
		for range 200 {
			token := sealer.seal(claims)
			if len(token) < 490 || len(token) > 730 {
				t.Fatalf("a token of %d characters", len(token))
			}
			if got, ok := sealer.open(token); !ok || got != claims {
				t.Fatalf("opened %+v, %t, want %+v", got, ok, claims)
			}
		}
	}
	token := sealer.seal(tokenClaims{})
	for name, bad := range map[string]string{
		"of another emulator": newTokenSealer().seal(tokenClaims{}),
		"changed":             token[:20] + strings.Repeat("A", 4) + token[24:],
		"cut":                 token[:len(token)-4],
		"without its prefix":  strings.TrimPrefix(token, tokenPrefix),
		"empty":               "",
	} {
		if _, ok := sealer.open(bad); ok {
			t.Errorf("a token %s was opened", name)
		}
	}
}

func TestIdentifiersAreStable(t *testing.T) {
	first, second := userIdentity("1", "a"), userIdentity("1", "b")
	if first != userIdentity("1", "a") || first.userID == second.userID || len(first.userID) != 18 {
		t.Errorf("ids %s and %s", first.userID, second.userID)
	}
}
