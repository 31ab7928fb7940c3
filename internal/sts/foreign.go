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

// Foreign classifies the failure of a call to STS that another client made, such
// as credentials-go's. Nothing of err's text is kept but STS's code and RequestId.
// It is nil if err is neither an answer of STS's nor of the network.
func Foreign(action string, err error) *Error {
	text := err.Error()
	if code := inText(text, codeInText, codeFormat); code != "" {
		e := failure(action, "", ruleFor(code, 0, text), nil)
		e.Code, e.RequestID = code, inText(text, requestIDInText, requestIDFormat)
		return e
	}
	if isA[*url.Error](err) || isA[*net.OpError](err) {
		return failure(action, "", *networkRule(err), nil)
	}
	return nil
}

func inText(text string, where, format *regexp.Regexp) string {
	match := where.FindStringSubmatch(text)
	if match == nil {
		return ""
	}
	return wellFormed(match[1], format)
}
