// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package observer

import "encoding/base64"

// minLeak is the number of bytes of a secret value that count as a leak: few enough to find a part of it, too many to occur by
// chance.
const minLeak = 12

// Leaks finds secret values, or parts of 12 bytes or more of their beginning, as they are or in base64.
type Leaks map[[minLeak]byte]struct{}

// Leaks returns the values that STS issued until now, and the given ones.
func (o *Observer) Leaks(more ...string) Leaks {
	o.mu.Lock()
	defer o.mu.Unlock()
	l := Leaks{}
	for _, i := range o.issuances {
		l.add(i.Secret)
		l.add(i.Token)
	}
	for _, v := range append(more, o.withheld...) {
		l.add(v)
	}
	return l
}

func (l Leaks) add(value string) {
	for _, form := range []string{value, base64.StdEncoding.EncodeToString([]byte(value))} {
		if len(form) >= minLeak {
			l[[minLeak]byte([]byte(form[:minLeak]))] = struct{}{}
		}
	}
}

// In returns the byte of a text at which a secret value begins, -1 if there is none.
func (l Leaks) In(text []byte) int {
	for i := 0; i+minLeak <= len(text); i++ {
		if _, secret := l[[minLeak]byte(text[i:])]; secret {
			return i
		}
	}
	return -1
}
