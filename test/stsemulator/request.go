// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stsemulator

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/google/uuid"
)

const (
	// apiVersion is the only version of the STS API there is.
	apiVersion = "2015-04-01"
	// maxBody bounds what is read of a request, in bytes: an OIDC token has up to 20000 characters, a policy 2048.
	maxBody = 1 << 20
)

// request is one call as it came, with what every step needs of it.
type request struct {
	http         *http.Request
	id           string
	query        url.Values // from the URL
	form         url.Values // from a form body
	bodySum      string     // SHA-256 of the body, hex
	now          time.Time  // STS's clock at arrival
	signedAround time.Time  // what the request's timestamp is held against
	effects      effects    // what scripted faults do to this call
}

// newRequest reads the call. The request it returns is usable even beside an error, to record and answer it.
func newRequest(w http.ResponseWriter, r *http.Request) (*request, *apiError) {
	req := &request{http: r, id: newRequestID()}
	var err error
	if req.query, err = url.ParseQuery(r.URL.RawQuery); err != nil {
		return req, newError("MalformedQueryString")
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return req, newError("RequestBodyTooLarge")
	}
	sum := sha256.Sum256(body)
	req.bodySum = hex.EncodeToString(sum[:])

	mediaType, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if mediaType == "application/x-www-form-urlencoded" {
		if req.form, err = url.ParseQuery(string(body)); err != nil {
			return req, newError("MalformedQueryString")
		}
	}
	return req, nil
}

// newRequestID returns an id of the form that STS uses: a UUID in upper case.
func newRequestID() string {
	return strings.ToUpper(uuid.NewString())
}

// param returns a parameter from the query or, failing that, from the form body.
func (r *request) param(name string) string {
	if r.query.Has(name) {
		return r.query.Get(name)
	}
	return r.form.Get(name)
}

// acs3 reports whether the call names its action in headers, as the third signature version does. SDKs of the first one
// send the header too, beside their signature among the parameters.
func (r *request) acs3() bool {
	return r.http.Header.Get("x-acs-action") != "" && r.param("Signature") == ""
}

// action returns the name of the action that is called, which may be unknown or empty.
func (r *request) action() string {
	if r.acs3() {
		return r.http.Header.Get("x-acs-action")
	}
	return r.param("Action")
}

func (r *request) version() string {
	if r.acs3() {
		return r.http.Header.Get("x-acs-version")
	}
	return r.param("Version")
}

// accessKeyID returns the id the call claims to be signed with, unverified.
func (r *request) accessKeyID() string {
	if r.acs3() {
		return parseAuthorization(r.http.Header.Get("Authorization")).keyID
	}
	return r.param("AccessKeyId")
}

// route finds the action, or fails as the API gateway does before it looks at a signature.
func route(req *request) (action, *apiError) {
	if req.action() == "" {
		return action{}, missing("Action")
	}
	if req.version() == "" {
		return action{}, missing("Version")
	}
	if req.version() != apiVersion {
		return action{}, newError("InvalidVersion")
	}
	act, known := lookupAction(req.action())
	if !known || req.http.URL.Path != "/" {
		return action{}, newError("InvalidAction.NotFound")
	}
	if req.http.Method != http.MethodPost && req.http.Method != http.MethodGet {
		return action{}, newError("UnsupportedHTTPMethod")
	}
	return act, nil
}

// writeJSON answers with a JSON document. An error here means that the client has gone.
func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json;charset=utf-8")
	w.WriteHeader(status)
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(body)
}
