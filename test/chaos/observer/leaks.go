// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package observer

import "encoding/base64"

// telling is how many bytes of a secret value in a log count as the whole: few enough to find a part of it, too many to be
// there by chance.
const telling = 12

// Leaks finds secret values, or parts of 12 bytes or more of their beginning, as they are or in base64.
type Leaks map[[telling]byte]struct{}

// Leaks are the values that STS made so far, and those given.
func (o *Observer) Leaks(more ...string) Leaks {
	o.mu.Lock()
	defer o.mu.Unlock()
	l := Leaks{}
	for _, i := range o.issues {
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
		if len(form) >= telling {
			l[[telling]byte([]byte(form[:telling]))] = struct{}{}
		}
	}
}

// In tells at which byte of a text something secret begins; -1 if there is nothing.
func (l Leaks) In(text []byte) int {
	for i := 0; i+telling <= len(text); i++ {
		if _, secret := l[[telling]byte(text[i:])]; secret {
			return i
		}
	}
	return -1
}
