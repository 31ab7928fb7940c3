// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package sts

import (
	"net"
	"net/url"
	"regexp"
)

// Errors of other clients contain the response of STS as text.
var (
	codeInText      = regexp.MustCompile(`"Code"\s*:\s*"([^"]*)"`)
	requestIDInText = regexp.MustCompile(`"RequestId"\s*:\s*"([^"]*)"`)
)

// maxSDKError is the number of bytes of an error that are searched: enough for the whole response.
const maxSDKError = 64 << 10

// ClassifySDKError classifies the error of a call to STS that another client made, such as credentials-go. Of its text, only
// STS's code and RequestId are kept. An error without a code that is no network error is transient: a proxy may have
// answered.
func ClassifySDKError(action string, err error) *Error {
	text := err.Error()
	text = text[:min(len(text), maxSDKError)]
	if code := inText(text, codeInText, codeFormat); code != "" {
		v := messageValues{requestID: inText(text, requestIDInText, requestIDFormat)}
		e := newError(action, v, classify(code, 0, text), nil)
		e.Code, e.RequestID = code, v.requestID
		return e
	}
	if isA[*url.Error](err) || isA[*net.OpError](err) {
		return newError(action, messageValues{}, *classifyNetworkError(err), nil)
	}
	return newError(action, messageValues{}, notSTS, nil)
}

func inText(text string, where, format *regexp.Regexp) string {
	match := where.FindStringSubmatch(text)
	if match == nil {
		return ""
	}
	return wellFormed(match[1], format)
}
