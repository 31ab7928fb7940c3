// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package rampolicy_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/stscredential/sts-credential-operator/internal/rampolicy"
)

// allocated is what a function allocates, in bytes.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// A policy costs what its bound allows, however long it is.
func TestPolicyIsNotDecodedWhenTooLong(t *testing.T) {
	const maxCost = 512 << 10
	for name, policy := range map[string]string{
		"numbers":       `{"Version":"1","Statement":[1` + strings.Repeat(",1", 700_000) + `]}`,
		"empty objects": `{"Version":"1","Statement":[{}` + strings.Repeat(",{}", 450_000) + `]}`,
		"texts":         `{"Version":"1","Statement":[""` + strings.Repeat(`,""`, 450_000) + `]}`,
		"one text":      `{"Version":"1","Statement":["` + strings.Repeat("x", 1_400_000) + `"]}`,
		"escapes":       `{"Version":"1","Statement":["` + strings.Repeat(`\u003c`, 200_000) + `"]}`,
		"white space":   strings.Repeat(" ", 1_400_000) + `{}`,
		"just below":    `{"Version":"1","Statement":[1` + strings.Repeat(",1", 6_000) + `]}`,
		"objects below": `{"Version":"1","Statement":[{}` + strings.Repeat(",{}", 600) + `]}`,
	} {
		raw := []byte(policy)
		var err error
		if cost := allocated(func() { _, err = rampolicy.Compact(raw) }); cost > maxCost || err == nil {
			t.Errorf("%s, %d bytes: %d bytes allocated, want at most %d; %v", name, len(raw), cost, maxCost, err)
		}
	}
}

// Whatever STS takes is small enough to be decoded, as the API server writes it: no policy is refused for its bytes alone.
func TestLongestPoliciesAreTaken(t *testing.T) {
	const frame = `{"Statement":[{"Action":"%s","Effect":"Allow","Resource":"*"}],"Version":"1"}`
	left := 2048 - (len(frame) - len("%s"))
	for name, char := range map[string]string{
		"ASCII": "x", "escaped for HTML": "<", "three bytes": "好", "four bytes": "𝄞", "a line separator": "\u2028", "a quote": `"`, "a line break": "\n", "a bell": "\a",
	} {
		compact, err := json.Marshal(char)
		if err != nil {
			t.Fatal(err)
		}
		each := len([]rune(string(compact))) - 2
		if char == "<" {
			each = 1 // compacted, it is not escaped
		}
		text := strings.Repeat(char, left/each)
		policy := map[string]any{"Version": "1", "Statement": []any{map[string]any{"Action": text, "Effect": "Allow", "Resource": "*"}}}
		raw, err := json.Marshal(policy) // as the API server does, with "<" escaped
		if err != nil {
			t.Fatal(err)
		}
		var pretty bytes.Buffer
		if err := json.Indent(&pretty, raw, "", " "); err != nil {
			t.Fatal(err)
		}
		for _, given := range [][]byte{raw, pretty.Bytes()} {
			if _, err := rampolicy.Compact(given); err != nil && len(given) <= rampolicy.MaxBytes {
				t.Errorf("%s, %d bytes: %v", name, len(given), err)
			}
		}
		if len(raw) > rampolicy.MaxBytes {
			t.Errorf("%s: %d bytes, more than MaxBytes", name, len(raw))
		}
	}
	surrogates := fmt.Sprintf(frame, strings.Repeat(`\ud834\udd1e`, 900))
	if _, err := rampolicy.Compact([]byte(surrogates)); err != nil {
		t.Errorf("900 characters as pairs of escapes: %v", err)
	}
}

// The cache keeps the size of a policy that is too large, which the message contains.
func TestTruncate(t *testing.T) {
	fits := []byte(`{"Version":"1","Statement":["` + strings.Repeat("x", rampolicy.MaxBytes-32) + `"]}`)
	if len(fits) != rampolicy.MaxBytes || !bytes.Equal(rampolicy.Truncate(fits), fits) {
		t.Errorf("a policy of %d bytes is cut", len(fits))
	}
	long := append(bytes.Clone(fits), ' ')
	cut := rampolicy.Truncate(long)
	if !json.Valid(cut) || len(cut) > 20 || !bytes.Equal(rampolicy.Truncate(cut), cut) {
		t.Errorf("cut to %q", cut)
	}
	_, want := rampolicy.Compact(long)
	if _, err := rampolicy.Compact(cut); err == nil || want == nil || err.Error() != want.Error() || !strings.Contains(err.Error(), "12289 bytes") {
		t.Errorf("of the cut one: %v; of the whole: %v", err, want)
	}
}
