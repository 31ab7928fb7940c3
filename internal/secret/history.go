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

// maxReplaced bounds how many earlier credentials a record lists.
const maxReplaced = 8

// WriteOptions are what a write records besides the issued credentials.
type WriteOptions struct {
	// RenewRequest is the renew request that the write handles, see the function; empty if there is none.
	RenewRequest string
	// At is the time of the write by the operator's clock. Zero leaves it out.
	At time.Time
	// Before is the record of the credentials that are replaced; nil if there are none.
	Before *Record
}

// replacedBy returns the earlier credentials of a Secret, oldest first, after credentials issued at issuedAt have replaced
// those of this record. The list contains the credentials that are still valid at issuedAt and, before them, the last
// expired ones, which represent all expired ones. If the list is too long, the oldest valid entries are dropped; pods that
// use them then count as users of the entry before them.
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

// decodeReplaced leaves out entries that are malformed or have a longer lifetime than STS issues.
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
