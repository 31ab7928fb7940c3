// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package secret

import (
	"slices"
	"strings"
	"time"

	"github.com/stscredential/sts-credential-operator/internal/credentials"
)

const (
	writtenAtAnnotation = prefix + "written-at"
	replacedAnnotation  = prefix + "replaced"
)

// maxReplaced bounds how many earlier triples a record remembers.
const maxReplaced = 8

// Occasion is what of a write is not in the session that is written.
type Occasion struct {
	// RenewRequest is the wish that it answers, see RenewRequest; empty if none.
	RenewRequest string
	// At is when it is written, by the operator's clock: what pods that start later read. Zero leaves it out.
	At time.Time
	// Before is what the Secret holds until then; nil if nothing.
	Before *Record
}

// replacedBy is what a Secret has held once something issued at issuedAt replaces this record: what still works then,
// oldest first, and before it the last that does not, which stands for all that pods may hold from earlier. Where that is
// too much, what is forgotten passes for something older.
func (r *Record) replacedBy(issuedAt time.Time) []credentials.Replaced {
	if r == nil {
		return nil
	}
	all := append(slices.Clone(r.Replaced), credentials.Replaced{WrittenAt: r.storedOrWritten(), ExpiresAt: r.ExpiresAt})
	for len(all) > 1 && !all[1].ExpiresAt.After(issuedAt) {
		all = all[1:]
	}
	for len(all) > maxReplaced {
		all = slices.Delete(all, 1, 2)
	}
	return all
}

func encodeReplaced(all []credentials.Replaced) string {
	entries := make([]string, 0, len(all))
	for _, r := range all {
		entries = append(entries, r.WrittenAt.UTC().Format(time.RFC3339)+"/"+r.ExpiresAt.UTC().Format(time.RFC3339))
	}
	return strings.Join(entries, ",")
}

// decodeReplaced leaves out what it cannot read, and what claims to live longer than STS issues credentials for.
func decodeReplaced(encoded string) (all []credentials.Replaced) {
	for entry := range strings.SplitSeq(encoded, ",") {
		written, expires, _ := strings.Cut(entry, "/")
		writtenAt, okWritten := parseTime(written)
		expiresAt, okExpires := parseTime(expires)
		if okWritten && okExpires && expiresAt.Sub(writtenAt) <= maxLifetime && len(all) < maxReplaced {
			all = append(all, credentials.Replaced{WrittenAt: writtenAt, ExpiresAt: expiresAt})
		}
	}
	return all
}
