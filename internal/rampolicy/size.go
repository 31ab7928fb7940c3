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
		return fmt.Errorf("the policy is %d bytes long, and STS accepts at most %d characters. Shorten it, or attach it to the role", size, maxPolicy)
	}
	return nil
}
