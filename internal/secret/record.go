// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package secret

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/stscredential/sts-credential-operator/internal/credentials"
)

// UIDLabel marks a Secret as written by this operator; its value is the UID of the StsCredential. The cache selects on
// its existence. Names stand in annotations, since they can be longer than a label.
const UIDLabel = prefix + "credential-uid"

// CredentialAnnotation is the annotation of a record that names the StsCredential, as "<namespace>/<name>".
const CredentialAnnotation = prefix + "credential"

const (
	prefix         = "sts.alibabacloud.com/"
	managedByLabel = "app.kubernetes.io/managed-by"
	managedBy      = "sts-credential-operator"

	secretAnnotation         = prefix + "secret"
	issuedAtAnnotation       = prefix + "issued-at"
	expiresAtAnnotation      = prefix + "expires-at"
	requestIDAnnotation      = prefix + "request-id"
	accessKeyIDAnnotation    = prefix + "access-key-id"
	assumedRoleAnnotation    = prefix + "assumed-role"
	assumedRoleIDAnnotation  = prefix + "assumed-role-id"
	requestHashAnnotation    = prefix + "request-hash"
	layoutHashAnnotation     = prefix + "layout-hash"
	dataHashAnnotation       = prefix + "data-hash"
	managedKeysAnnotation    = prefix + "managed-keys"
	handledRequestAnnotation = prefix + "handled-renew-request"
	adoptedAnnotation        = prefix + "adopted"
	writtenAtAnnotation      = prefix + "written-at"
	replacedAnnotation       = prefix + "replaced"

	// The keys of the labels and annotations from the spec, so that they can be removed again. They are not part of the record,
	// because they change without a call to STS.
	managedLabelsAnnotation      = prefix + "managed-labels"
	managedAnnotationsAnnotation = prefix + "managed-annotations"
)

// recordAnnotations are the annotations that version 1 of the data hash covers. Version 2 also covers the Secret's own name, see
// secretAnnotation.
var recordAnnotations = []string{
	CredentialAnnotation, issuedAtAnnotation, expiresAtAnnotation, requestIDAnnotation, accessKeyIDAnnotation,
	assumedRoleAnnotation, assumedRoleIDAnnotation, requestHashAnnotation, layoutHashAnnotation, managedKeysAnnotation,
	handledRequestAnnotation, adoptedAnnotation, writtenAtAnnotation, replacedAnnotation,
}

// maxReplaced bounds how many earlier credentials a record lists.
const maxReplaced = 8

// Record is the record on a Secret of the credentials in it. The status can be restored from it alone.
type Record struct {
	credentials.Record

	layoutHash  string
	managedKeys []string
}

// annotations returns the annotations of the record that are not empty, without the data hash.
func (r Record) annotations() map[string]string {
	all := map[string]string{
		CredentialAnnotation:     r.Credential,
		issuedAtAnnotation:       r.IssuedAt.Format(time.RFC3339),
		expiresAtAnnotation:      r.ExpiresAt.Format(time.RFC3339),
		requestIDAnnotation:      r.RequestID,
		accessKeyIDAnnotation:    r.AccessKeyID,
		assumedRoleAnnotation:    r.AssumedRoleARN,
		assumedRoleIDAnnotation:  r.AssumedRoleID,
		requestHashAnnotation:    r.RequestHash,
		layoutHashAnnotation:     r.layoutHash,
		managedKeysAnnotation:    strings.Join(r.managedKeys, ","),
		handledRequestAnnotation: r.HandledRenewRequest,
		replacedAnnotation:       encodeReplaced(r.Replaced),
	}
	if !r.WrittenAt.IsZero() {
		all[writtenAtAnnotation] = r.WrittenAt.UTC().Format(time.RFC3339)
	}
	maps.DeleteFunc(all, func(_, value string) bool { return value == "" })
	return all
}

// recordIn returns the record in a Secret's annotations; nil if it is incomplete.
func recordIn(annotations map[string]string) *Record {
	issuedAt, okIssued := parseTime(annotations[issuedAtAnnotation])
	expiresAt, okExpires := parseTime(annotations[expiresAtAnnotation])
	if !okIssued || !okExpires || !expiresAt.After(issuedAt) || expiresAt.Sub(issuedAt) > credentials.MaxLifetime || tooLong(annotations) {
		return nil
	}
	for _, required := range []string{CredentialAnnotation, accessKeyIDAnnotation, requestHashAnnotation, dataHashAnnotation, managedKeysAnnotation} {
		if annotations[required] == "" {
			return nil
		}
	}
	writtenAt, ok := parseTime(annotations[writtenAtAnnotation])
	if !ok || writtenAt.After(expiresAt) { // it is not recorded, or was edited
		writtenAt = issuedAt
	}
	return &Record{
		Record: credentials.Record{
			Credential:          annotations[CredentialAnnotation],
			IssuedAt:            issuedAt,
			ExpiresAt:           expiresAt,
			RequestID:           annotations[requestIDAnnotation],
			AccessKeyID:         annotations[accessKeyIDAnnotation],
			AssumedRoleARN:      annotations[assumedRoleAnnotation],
			AssumedRoleID:       annotations[assumedRoleIDAnnotation],
			RequestHash:         annotations[requestHashAnnotation],
			HandledRenewRequest: annotations[handledRequestAnnotation],
			WrittenAt:           writtenAt,
			Replaced:            decodeReplaced(annotations[replacedAnnotation]),
		},
		layoutHash:  annotations[layoutHashAnnotation],
		managedKeys: listedIn(annotations, managedKeysAnnotation),
	}
}

// parseTime parses a time of a record: UTC, in whole seconds, from 2000 to 8999. The status, which has four digits for the
// year, could not hold others.
func parseTime(text string) (t time.Time, ok bool) {
	t, err := time.Parse("2006-01-02T15:04:05Z", text)
	return t, err == nil && t.Year() >= 2000 && t.Year() < 9000
}

// LayoutChanged reports whether the record is of other keys than the layout writes.
func (r *Record) LayoutChanged(now Layout) bool { return !sameHash(r.layoutHash, now.hash) }

// replacedBy returns the earlier credentials of a Secret, oldest first, after credentials issued at issuedAt have replaced
// those of this record. The list contains the credentials that are still valid at issuedAt and, before them, the last
// expired ones, which represent all expired ones. If the list is too long, the oldest valid entries are dropped; pods that
// use them then count as users of the entry before them.
func (r *Record) replacedBy(issuedAt time.Time) []credentials.Replaced {
	if r == nil {
		return nil
	}
	all := append(slices.Clone(r.Replaced), credentials.Replaced{WrittenAt: cmp.Or(r.StoredAt, r.WrittenAt), ExpiresAt: r.ExpiresAt})
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
		if okWritten && okExpires && expiresAt.Sub(writtenAt) <= credentials.MaxLifetime && len(all) < maxReplaced {
			all = append(all, credentials.Replaced{WrittenAt: writtenAt, ExpiresAt: expiresAt})
		}
	}
	return all
}

// RenewRequest returns the renew request in an annotation as the record holds it: its value, or the hash of a value that is
// longer than 128 bytes.
func RenewRequest(annotation string) string {
	if len(annotation) <= 128 {
		return annotation
	}
	return sum([]byte(annotation))
}
