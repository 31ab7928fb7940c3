// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package secret

import (
	"crypto/sha256"
	"encoding/hex"
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

// maxLifetime is the longest lifetime that STS issues: a record with a longer one was edited.
const maxLifetime = credentials.MaxLifetime

// maxValue bounds each value of a record, in bytes, and maxValues some of them, as in the status: a longer value was edited.
const maxValue = 512

var maxValues = map[string]int{
	requestIDAnnotation: 128, accessKeyIDAnnotation: 256, assumedRoleIDAnnotation: 256, managedKeysAnnotation: maxList,
}

// Record is the record on a Secret of the credentials in it. The status can be restored from it alone.
type Record struct {
	credentials.Record

	layoutHash  string
	managedKeys []string
}

// newRecord returns the record of issued credentials, without the keys that are written.
func newRecord(credential string, s credentials.Credentials, requestHash string, o WriteOptions) Record {
	return Record{Record: credentials.Record{
		Credential:          credential,
		IssuedAt:            s.IssuedAt.UTC().Truncate(time.Second),
		ExpiresAt:           s.ExpiresAt.UTC().Truncate(time.Second),
		RequestID:           s.RequestID,
		AccessKeyID:         credentials.ShownAccessKeyID(s.AccessKeyID),
		AssumedRoleARN:      s.AssumedRoleARN,
		AssumedRoleID:       s.AssumedRoleID,
		RequestHash:         requestHash,
		HandledRenewRequest: o.RenewRequest,
		WrittenAt:           o.At,
		Replaced:            o.Before.replacedBy(s.IssuedAt),
	}}
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
	for k, v := range all {
		if v == "" {
			delete(all, k)
		}
	}
	return all
}

// recordIn returns the record in a Secret's annotations; nil if it is incomplete.
func recordIn(annotations map[string]string) *Record {
	issuedAt, okIssued := parseTime(annotations[issuedAtAnnotation])
	expiresAt, okExpires := parseTime(annotations[expiresAtAnnotation])
	if !okIssued || !okExpires || !expiresAt.After(issuedAt) || expiresAt.Sub(issuedAt) > maxLifetime {
		return nil
	}
	for _, k := range recordAnnotations {
		if len(annotations[k]) > bounds[k] {
			return nil
		}
	}
	for _, required := range []string{CredentialAnnotation, accessKeyIDAnnotation, requestHashAnnotation, dataHashAnnotation, managedKeysAnnotation} {
		if annotations[required] == "" {
			return nil
		}
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
			WrittenAt:           writtenIn(annotations, issuedAt, expiresAt),
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

// writtenIn returns when the record was written; issuedAt if that is not recorded, or is after the expiration, so that another
// client must have written it.
func writtenIn(annotations map[string]string, issuedAt, expiresAt time.Time) time.Time {
	writtenAt, ok := parseTime(annotations[writtenAtAnnotation])
	if !ok || writtenAt.After(expiresAt) {
		return issuedAt
	}
	return writtenAt
}

// LayoutChanged reports whether the record is of other keys than the layout writes.
func (r *Record) LayoutChanged(now Layout) bool { return !sameHash(r.layoutHash, now.hash) }

func splitKeys(joined string) []string {
	if joined == "" {
		return nil
	}
	return strings.Split(joined, ",")
}

// RenewRequest returns the renew request in an annotation as the record holds it: its value, or the hash of a value that is
// longer than 128 bytes.
func RenewRequest(annotation string) string {
	if len(annotation) <= 128 {
		return annotation
	}
	sum := sha256.Sum256([]byte(annotation))
	return hex.EncodeToString(sum[:])
}
