// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package identity

import (
	"encoding/base64"
	"encoding/json"
	"regexp"
	"strings"
)

// claims are what messages may show of a ServiceAccount's token. They are not
// verified: STS does that.
type claims struct {
	Issuer  string `json:"iss"`
	Subject string `json:"sub"`
}

var (
	issuerFormat  = regexp.MustCompile(`^https?://[A-Za-z0-9._~:/-]{1,250}$`)
	subjectFormat = regexp.MustCompile(`^system:serviceaccount:[a-z0-9-]{1,63}:[a-z0-9.-]{1,253}$`)
)

// claimsOf reads a token; what it does not say, or says oddly, is empty.
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
