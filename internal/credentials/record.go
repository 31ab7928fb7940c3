// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package credentials

import "time"

// Record is what is known of credentials in a Secret, without the secret values. It is kept on the Secret itself, see
// package secret.
type Record struct {
	// Credential is the <namespace>/<name> of the StsCredential.
	Credential string
	// IssuedAt and ExpiresAt are by STS's clock, in whole seconds.
	IssuedAt, ExpiresAt time.Time
	// RequestID is that of the call to STS. AccessKeyID is shown, see ShownAccessKeyID.
	RequestID, AccessKeyID string
	// AssumedRoleARN and AssumedRoleID are those of the session.
	AssumedRoleARN, AssumedRoleID string
	// RequestHash is the hash of the request to STS, see secret.Request.
	RequestHash string
	// HandledRenewRequest is the last renew request that was handled, see secret.RenewRequest.
	HandledRenewRequest string
	// WrittenAt is when the credentials were written to the Secret, by the operator's clock; IssuedAt if that is not recorded.
	WrittenAt time.Time
	// StoredAt is the same time by the API server's clock; WrittenAt if that is not known.
	StoredAt time.Time
	// Adopted reports whether the Secret existed before, with data of its owner.
	Adopted bool
	// Replaced are the credentials that the Secret held before and that pods may still use, oldest first; at most 8.
	Replaced []Replaced
}

// Replaced are credentials that a Secret held before. The zero value stands for credentials that do not work, or are not
// known.
type Replaced struct {
	// WrittenAt is by the API server's clock, if that is known.
	WrittenAt time.Time
	// ExpiresAt is by STS's clock in a Record.
	ExpiresAt time.Time
}

// Unknown reports whether r stands for credentials that do not work, or are not known.
func (r Replaced) Unknown() bool { return r.WrittenAt.IsZero() }
