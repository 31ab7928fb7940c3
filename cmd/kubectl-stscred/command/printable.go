// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package command

import (
	"strconv"
	"strings"
	"unicode"

	"github.com/stscredential/sts-credential-operator/cmd/kubectl-stscred/doctor"
)

// printable returns text for a terminal. Users of the cluster choose parts of it, so control characters, which a terminal obeys,
// and characters that hide or reorder others become escape sequences such as \x1b. Line breaks and tabs stay.
func printable(text string) string {
	var b strings.Builder
	for _, r := range text {
		if r == '\n' || r == '\t' || unicode.IsPrint(r) {
			b.WriteRune(r)
			continue
		}
		b.WriteString(strings.Trim(strconv.QuoteRuneToASCII(r), "'"))
	}
	return b.String()
}

// printableLine is printable for text that must not begin a line of its own.
func printableLine(text string) string { return printable(strings.Join(strings.Fields(text), " ")) }

// printableFinding returns a finding for a terminal.
func printableFinding(f doctor.Finding) doctor.Finding {
	f.Object, f.Message, f.Fix = printableLine(f.Object), printableLine(f.Message), printable(f.Fix)
	return f
}

// printableUnread returns what could not be read for a terminal.
func printableUnread(u doctor.Unread) doctor.Unread {
	u.Resource, u.Reason, u.Consequence = printableLine(u.Resource), printableLine(u.Reason), printableLine(u.Consequence)
	return u
}
