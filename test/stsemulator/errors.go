// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stsemulator

import (
	"fmt"
	"net/http"
	"net/url"
)

// apiError is an error as STS or the API gateway before it reports one.
type apiError struct {
	status  int
	code    string
	message string
	header  http.Header
}

// documented maps each error code to its documented status and message, see
// https://www.alibabacloud.com/help/en/ram/developer-reference/api-sts-2015-04-01-errorcodes. The gateway's statuses
// vary between documents; clients go by code.
func documented(code string) (status int, message string, ok bool) {
	for _, table := range []map[string]string{stsErrors(), gatewayErrors()} {
		if message, ok = table[code]; ok {
			return documentedStatus(code), message, true
		}
	}
	return 0, "", false
}

// documentedStatus returns the HTTP status of a known code; most are 400.
func documentedStatus(code string) int {
	switch code {
	case "AuthenticationFail.NoPermission", "AuthenticationFail.OIDCToken.AudienceNotMatch",
		"AuthenticationFail.OIDCToken.Expired", "AuthenticationFail.OIDCToken.InvalidSignature",
		"AuthenticationFail.OIDCToken.Invalid":
		return http.StatusUnauthorized
	case "NoPermission":
		return http.StatusForbidden
	case "EntityNotExist.Role", "InvalidAccessKeyId.NotFound", "InvalidAction.NotFound":
		return http.StatusNotFound
	case "UnsupportedHTTPMethod":
		return http.StatusMethodNotAllowed
	case "RequestBodyTooLarge":
		return http.StatusRequestEntityTooLarge
	case "InternalError":
		return http.StatusInternalServerError
	case "ServiceUnavailable":
		return http.StatusServiceUnavailable
	default:
		return http.StatusBadRequest
	}
}

// stsErrors holds the messages of STS's own errors.
func stsErrors() map[string]string {
	return map[string]string{
		"InvalidParameter":                              "The specified parameter is not valid.",
		"InvalidParameter.DurationSeconds":              "The Min/Max value of DurationSeconds is 15min/1hr.",
		"InvalidParameter.RoleArn":                      "The parameter RoleArn is wrongly formed.",
		"InvalidParameter.RoleSessionName":              "The parameter RoleSessionName is wrongly formed.",
		"InvalidParameter.ExternalId":                   "The parameter ExternalId is wrongly formed.",
		"InvalidParameter.SourceIdentity":               "The parameter SourceIdentity is wrongly formed.",
		"InvalidParameter.OIDCProviderArn":              "The parameter OIDCProviderArn is wrongly formed.",
		"InvalidParameter.OIDCToken":                    "The parameter OIDCToken is wrongly formed.",
		"InvalidParameter.PolicyGrammar":                "The parameter Policy has not passed grammar check.",
		"InvalidParameter.PolicySize":                   "The size of Policy must be smaller than 2048 bytes.",
		"NoPermission":                                  messageUntrusted,
		"EntityNotExist.Role":                           "The specified Role not exists .",
		"AuthenticationFail.NoPermission":               "There is no permission",
		"AuthenticationFail.OIDCToken.AudienceNotMatch": "Invalid audience.",
		"AuthenticationFail.OIDCToken.Expired":          "This JsonWebToken is expired.",
		"AuthenticationFail.OIDCToken.InvalidSignature": "OIDC token validate failed: invalid signature.",
		"AuthenticationFail.OIDCToken.Invalid":          "OIDC token is invalid.",
		"InternalError":                                 messageInternal,
	}
}

// gatewayErrors holds the messages of the API gateway's errors, which are the same before every service.
func gatewayErrors() map[string]string {
	return map[string]string{
		"InvalidAccessKeyId.NotFound":                "Specified access key is not found.",
		"InvalidAccessKeyId.Inactive":                "Specified access key is disabled.",
		"MissingSecurityToken":                       "SecurityToken is mandatory for this action.",
		"InvalidSecurityToken.Expired":               "Specified SecurityToken is expired.",
		"InvalidSecurityToken.Malformed":             "Specified SecurityToken is malformed.",
		"InvalidSecurityToken.MismatchWithAccessKey": "Specified SecurityToken mismatch with the AccessKey.",
		"SignatureDoesNotMatch":                      "Specified signature is not matched with our calculation.",
		"SignatureNonceUsed":                         "Specified signature nonce was used already.",
		"IncompleteSignature":                        "The request signature does not conform to Aliyun standards.",
		"InvalidSignatureMethod":                     "Specified signature method is not valid.",
		"InvalidTimeStamp.Expired":                   "Specified time stamp or date value is expired.",
		"InvalidTimeStamp.Format":                    "Specified time stamp or date value is not well formatted.",
		"InvalidAction.NotFound":                     "Specified api is not found, please check your url and method.",
		"InvalidVersion":                             "Specified parameter Version is not valid.",
		"MalformedQueryString":                       "Specified query string is malformed.",
		"RequestBodyTooLarge":                        "The request body is too large.",
		"UnsupportedHTTPMethod":                      "This http method is not supported.",
		"Throttling":                                 "Request was denied due to request throttling.",
		"Throttling.User":                            "Request was denied due to user flow control.",
		"Throttling.Api":                             "Request was denied due to api flow control.",
		"ServiceUnavailable":                         "The request has failed due to a temporary failure of the server.",
	}
}

// Messages that are used apart from their code, or are long. Causes of NoPermission differ by message alone.
const (
	messageUntrusted = "No permission perform sts:AssumeRole on this Role. Maybe you are not authorized to perform " +
		"sts:AssumeRole or the specified role does not trust you"
	messageInternal    = "STS Server Internal Error happened, please send the RequestId to us."
	messageRootAccount = "Roles may not be assumed by root accounts."
	messageNoProvider  = "No such OIDC Provider registered."
)

// newError returns the documented error of that code. An undocumented code is answered as 400 with a neutral message.
func newError(code string) *apiError {
	status, message, ok := documented(code)
	if !ok {
		status, message = http.StatusBadRequest, "The request was refused."
	}
	return &apiError{status: status, code: code, message: message}
}

// missing is the gateway's answer when a mandatory parameter is not there.
func missing(parameter string) *apiError {
	failure := newError("Missing" + parameter)
	failure.message = parameter + " is mandatory for this action."
	return failure
}

func (f *apiError) withMessage(message string) *apiError {
	f.message = message
	return f
}

// write answers with the error's JSON document.
func (f *apiError) write(w http.ResponseWriter, req *request) {
	for name, values := range f.header {
		w.Header()[name] = values
	}
	troubleshoot := fmt.Sprintf("https://api.aliyun.com/troubleshoot?q=%s&product=Sts&requestId=%s",
		url.QueryEscape(f.code), req.id)
	writeJSON(w, f.status, map[string]string{
		"Code":      f.code,
		"Message":   f.message,
		"RequestId": req.id,
		"HostId":    req.http.Host,
		"Recommend": troubleshoot,
	})
}

// statusOf is the HTTP status of a call that ended with this failure or, for nil, well.
func statusOf(failure *apiError) int {
	if failure == nil {
		return http.StatusOK
	}
	return failure.status
}

func codeOf(failure *apiError) string {
	if failure == nil {
		return ""
	}
	return failure.code
}
