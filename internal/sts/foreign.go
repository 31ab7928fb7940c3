// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package sts

import (
	"net"
	"net/url"
	"regexp"
)

// Errors of other clients hold STS's answer as text.
var (
	codeInText      = regexp.MustCompile(`"Code"\s*:\s*"([^"]*)"`)
	requestIDInText = regexp.MustCompile(`"RequestId"\s*:\s*"([^"]*)"`)
)

// maxForeign bounds how much of another client's error is searched, in bytes: it holds the whole answer.
const maxForeign = 64 << 10

// ClassifySDKError classifies the failure of a call to STS that another client made, such
// as credentials-go's. Nothing of err's text is kept but STS's code and RequestId.
// What is neither an answer of STS's nor of the network is an answer of something in
// between: transient, since nothing says that the request is at fault.
func ClassifySDKError(action string, err error) *Error {
	text := err.Error()
	text = text[:min(len(text), maxForeign)]
	if code := inText(text, codeInText, codeFormat); code != "" {
		n := names{requestID: inText(text, requestIDInText, requestIDFormat)}
		e := failure(action, n, ruleFor(code, 0, text), nil)
		e.Code, e.RequestID = code, n.requestID
		return e
	}
	if isA[*url.Error](err) || isA[*net.OpError](err) {
		return failure(action, names{}, *networkRule(err), nil)
	}
	return failure(action, names{}, notSTS, nil)
}

func inText(text string, where, format *regexp.Regexp) string {
	match := where.FindStringSubmatch(text)
	if match == nil {
		return ""
	}
	return wellFormed(match[1], format)
}
