// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stsemulator

import (
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // the older signature is HMAC-SHA1 and nothing else
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

const acs3Algorithm = "ACS3-HMAC-SHA256"

// authorization is a parsed Authorization header of the third signature version.
type authorization struct {
	algorithm     string
	keyID         string
	signedHeaders []string
	signature     string
}

// parseAuthorization reads "ALGORITHM Credential=…,SignedHeaders=a;b,Signature=…"; absent parts stay empty.
func parseAuthorization(header string) authorization {
	var parsed authorization
	algorithm, fields, _ := strings.Cut(header, " ")
	parsed.algorithm = algorithm
	for field := range strings.SplitSeq(fields, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(field), "=")
		switch name {
		case "Credential":
			parsed.keyID = value
		case "SignedHeaders":
			parsed.signedHeaders = strings.Split(value, ";")
		case "Signature":
			parsed.signature = value
		}
	}
	return parsed
}

// signACS3 calculates the third version's signature of a request under a secret.
func signACS3(req *request, signedHeaders []string, secret string) string {
	path := req.http.URL.EscapedPath()
	if path == "" {
		path = "/"
	}
	canonical := strings.Join([]string{
		req.http.Method,
		path,
		canonicalParameters(req.query),
		canonicalHeaders(req.http, signedHeaders),
		strings.Join(signedHeaders, ";"),
		req.bodySum,
	}, "\n")
	sum := sha256.Sum256([]byte(canonical))
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(acs3Algorithm + "\n" + hex.EncodeToString(sum[:])))
	return hex.EncodeToString(mac.Sum(nil))
}

// VerifyACS3 reports whether secret signed a request with the third signature version: its method, path, query, host and
// x-acs-* headers, and the body, whose checksum a signed header must have.
func VerifyACS3(r *http.Request, body []byte, secret string) bool {
	sum := sha256.Sum256(body)
	req := &request{http: r, query: r.URL.Query(), bodySum: hex.EncodeToString(sum[:])}
	shown := parseAuthorization(r.Header.Get("Authorization"))
	return shown.algorithm == acs3Algorithm && signsAllThatMatters(r, shown.signedHeaders) &&
		sameSignature(shown.signature, signACS3(req, shown.signedHeaders, secret))
}

// canonicalHeaders lists "name:value" lines of the signed headers, each line ended.
func canonicalHeaders(r *http.Request, signedHeaders []string) string {
	var lines strings.Builder
	for _, name := range signedHeaders {
		value := strings.Join(r.Header.Values(name), ",")
		if name == "host" {
			value = r.Host // net/http takes Host out of the headers
		}
		lines.WriteString(name + ":" + strings.TrimSpace(value) + "\n")
	}
	return lines.String()
}

// signsAllThatMatters reports whether the host and every x-acs-* header present are among the signed ones, which the
// protocol demands: an unsigned one could be changed on the way.
func signsAllThatMatters(r *http.Request, signedHeaders []string) bool {
	if !slices.IsSorted(signedHeaders) || !slices.Contains(signedHeaders, "host") {
		return false
	}
	for name := range r.Header {
		lower := strings.ToLower(name)
		if strings.HasPrefix(lower, "x-acs-") && !slices.Contains(signedHeaders, lower) {
			return false
		}
	}
	return true
}

// signV1 calculates the older signature: HMAC-SHA1 over all parameters, wherever they stand.
func signV1(req *request, secret string) string {
	parameters := url.Values{}
	for _, source := range []url.Values{req.query, req.form} {
		for name, values := range source {
			if name != "Signature" {
				parameters[name] = append(parameters[name], values...)
			}
		}
	}
	toSign := req.http.Method + "&" + escape("/") + "&" + escape(canonicalParameters(parameters))
	mac := hmac.New(sha1.New, []byte(secret+"&"))
	mac.Write([]byte(toSign))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// canonicalParameters joins parameters as both signature versions want them: sorted by name, RFC 3986 escaped.
func canonicalParameters(parameters url.Values) string {
	return strings.ReplaceAll(parameters.Encode(), "+", "%20")
}

// escape is RFC 3986 percent-encoding, which differs from a query's only in the space.
func escape(text string) string {
	return strings.ReplaceAll(url.QueryEscape(text), "+", "%20")
}

// sameSignature compares in constant time.
func sameSignature(got, want string) bool {
	return subtle.ConstantTimeCompare([]byte(got), []byte(want)) == 1
}
