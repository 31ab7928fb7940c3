// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package identity

import (
	"encoding/base64"
	"encoding/json"
	"regexp"
	"strings"
)

// claims are the claims of a ServiceAccount's token that messages may show. STS verifies them, the operator does not.
type claims struct {
	Issuer  string `json:"iss"`
	Subject string `json:"sub"`
}

var (
	issuerFormat  = regexp.MustCompile(`^https?://[A-Za-z0-9._~:/-]{1,250}$`)
	subjectFormat = regexp.MustCompile(`^system:serviceaccount:[a-z0-9-]{1,63}:[a-z0-9.-]{1,253}$`)
)

// claimsOf returns the claims of a token; a missing or malformed claim is empty.
func claimsOf(token string) claims {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return claims{}
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return claims{}
	}
	var c claims
	if json.Unmarshal(payload, &c) != nil {
		return claims{}
	}
	if !issuerFormat.MatchString(c.Issuer) {
		c.Issuer = ""
	}
	if !subjectFormat.MatchString(c.Subject) {
		c.Subject = ""
	}
	return c
}
