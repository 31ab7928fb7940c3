// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stsemulator

import (
	"strings"
	"time"
)

// timestampWindow is how far a request's timestamp may be off, either way.
const timestampWindow = 15 * time.Minute

// identity is who makes a call, once that is proven.
type identity struct {
	account     string
	arn         string // as GetCallerIdentity spells it
	kind        string // Account, RAMUser or AssumedRoleUser
	userID      string // of a user or account
	roleID      string // of an assumed role
	principalID string
	roleARN     string // of an assumed role: what a trust policy names
}

// proof is what a call brings to show who makes it, whichever signature version it uses.
type proof struct {
	keyID     string
	token     string
	timestamp string
	nonce     string
	signature string
	sign      func(secret string) string
}

// authenticate verifies key, token, timestamp, signature and nonce, in this order. The nonce comes last, so that only
// calls that are genuine can use one up.
func (e *Emulator) authenticate(req *request) (identity, *apiError) {
	shown, failure := readProof(req)
	if failure != nil {
		return identity{}, failure
	}
	secret, caller, failure := e.credential(shown, req.now)
	if failure != nil {
		return identity{}, failure
	}
	if failure := checkTimestamp(shown.timestamp, req.signedAround); failure != nil {
		return identity{}, failure
	}
	if !sameSignature(shown.signature, shown.sign(secret)) {
		return identity{}, newError("SignatureDoesNotMatch")
	}
	if !e.nonces.use(shown.keyID+"/"+shown.nonce, e.requestClock.Now()) {
		return identity{}, newError("SignatureNonceUsed")
	}
	return caller, nil
}

// readProof collects the proof from headers (third version) or parameters (first version).
func readProof(req *request) (proof, *apiError) {
	if req.acs3() {
		return readACS3(req)
	}
	return readV1(req)
}

func readACS3(req *request) (proof, *apiError) {
	header := req.http.Header
	auth := parseAuthorization(header.Get("Authorization"))
	shown := proof{
		keyID:     auth.keyID,
		token:     header.Get("x-acs-security-token"),
		timestamp: header.Get("x-acs-date"),
		nonce:     header.Get("x-acs-signature-nonce"),
		signature: auth.signature,
		sign:      func(secret string) string { return signACS3(req, auth.signedHeaders, secret) },
	}
	if failure := shown.complete(); failure != nil {
		return proof{}, failure
	}
	if auth.algorithm != acs3Algorithm {
		return proof{}, newError("InvalidSignatureMethod")
	}
	if !signsAllThatMatters(req.http, auth.signedHeaders) {
		return proof{}, newError("IncompleteSignature")
	}
	return shown, nil
}

func readV1(req *request) (proof, *apiError) {
	shown := proof{
		keyID:     req.param("AccessKeyId"),
		token:     req.param("SecurityToken"),
		timestamp: req.param("Timestamp"),
		nonce:     req.param("SignatureNonce"),
		signature: req.param("Signature"),
		sign:      func(secret string) string { return signV1(req, secret) },
	}
	if failure := shown.complete(); failure != nil {
		return proof{}, failure
	}
	if req.param("SignatureMethod") != "HMAC-SHA1" || req.param("SignatureVersion") != "1.0" {
		return proof{}, newError("InvalidSignatureMethod")
	}
	return shown, nil
}

// complete names the first part that is missing.
func (p proof) complete() *apiError {
	switch "" {
	case p.keyID:
		return missing("AccessKeyId")
	case p.signature:
		return missing("Signature")
	case p.timestamp:
		return missing("Timestamp")
	case p.nonce:
		return missing("SignatureNonce")
	default:
		return nil
	}
}

// credential finds the secret that must have signed, and whose it is.
func (e *Emulator) credential(shown proof, now time.Time) (string, identity, *apiError) {
	if strings.HasPrefix(shown.keyID, temporaryKeyPrefix) {
		return e.temporaryCredential(shown, now)
	}
	key, known := e.directory.key(shown.keyID)
	if !known {
		return "", identity{}, newError("InvalidAccessKeyId.NotFound")
	}
	if key.inactive {
		return "", identity{}, newError("InvalidAccessKeyId.Inactive")
	}
	if shown.token != "" { // a lasting key goes with no token at all
		return "", identity{}, newError("InvalidSecurityToken.MismatchWithAccessKey")
	}
	return key.Secret, key.owner, nil
}

// temporaryCredential trusts nothing but the token itself, which only this emulator can have sealed.
func (e *Emulator) temporaryCredential(shown proof, now time.Time) (string, identity, *apiError) {
	if shown.token == "" {
		return "", identity{}, missing("SecurityToken")
	}
	held, ok := e.tokens.open(shown.token)
	switch {
	case !ok:
		return "", identity{}, newError("InvalidSecurityToken.Malformed")
	case held.AccessKeyID != shown.keyID:
		return "", identity{}, newError("InvalidSecurityToken.MismatchWithAccessKey")
	case !now.Before(time.Unix(held.Expires, 0)):
		return "", identity{}, newError("InvalidSecurityToken.Expired")
	}
	return e.tokens.secret(held.AccessKeyID), held.identity(), nil
}

func checkTimestamp(stamp string, around time.Time) *apiError {
	at, err := time.Parse(time.RFC3339, stamp)
	if err != nil || !strings.HasSuffix(stamp, "Z") {
		return newError("InvalidTimeStamp.Format")
	}
	if at.Sub(around).Abs() > timestampWindow {
		return newError("InvalidTimeStamp.Expired")
	}
	return nil
}
