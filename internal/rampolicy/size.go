// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package rampolicy

import (
	"fmt"
	"strconv"
)

// MaxBytes is the maximum size of a session policy that is decoded. A policy of 2048 characters is not longer in the API
// server's JSON, which has no white space and encodes a character in at most six bytes.
const MaxBytes = 6 * maxPolicy

// Truncate returns raw, or its size as a placeholder if raw is longer than MaxBytes. Compact reports that size.
func Truncate(raw []byte) []byte {
	if len(raw) <= MaxBytes {
		return raw
	}
	return strconv.AppendInt(nil, int64(len(raw)), 10)
}

// checkSize rejects a policy that is too long, before it is decoded.
func checkSize(raw []byte) error {
	size := len(raw)
	if cut, err := strconv.Atoi(string(raw[:min(size, 20)])); err == nil && cut > size {
		size = cut // a placeholder: a number is never a valid policy
	}
	if size > MaxBytes {
		return fmt.Errorf("the policy is %d bytes long, STS takes %d characters: shorten it, or attach it to the role", size, maxPolicy)
	}
	if n := leastCharacters(raw); n > maxPolicy {
		return fmt.Errorf("the policy is %d characters long when compacted, STS takes %d: shorten it, or attach it to the role", n, maxPolicy)
	}
	return nil
}

// leastCharacters returns a lower bound of the number of characters of the compact policy: escaped characters count as one.
func leastCharacters(raw []byte) (n int) {
	quoted := false
	for i := 0; i < len(raw); i++ {
		switch c := raw[i]; {
		case quoted && c == '\\':
			i += escaped(raw[i:])
			if !halfOfPair(raw[:min(i+1, len(raw))]) {
				n++
			}
		case !quoted && (c == ' ' || c == '\t' || c == '\n' || c == '\r'), c&0xc0 == 0x80: // white space, or a continuation byte
		default:
			quoted = quoted != (c == '"')
			n++
		}
	}
	return n
}

// escaped returns the number of bytes after the backslash of an escaped character.
func escaped(rest []byte) int {
	if len(rest) > 1 && rest[1] == 'u' {
		return 5
	}
	return 1
}

// halfOfPair reports whether a text ends with the first of the two escapes that make up one character.
func halfOfPair(text []byte) bool {
	if len(text) < 6 {
		return false
	}
	last := text[len(text)-6:]
	value, err := strconv.ParseUint(string(last[2:]), 16, 16)
	return err == nil && last[0] == '\\' && last[1] == 'u' && value >= 0xd800 && value < 0xdc00
}
