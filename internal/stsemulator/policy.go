// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stsemulator

import (
	"encoding/json"
	"strings"

	kjson "sigs.k8s.io/json"
)

// maxPolicy is the greatest size of a session policy, in characters.
const maxPolicy = 2048

// policyDocument is RAM's policy grammar, as far as its check goes.
type policyDocument struct {
	Version   string
	Statement []policyStatement
}

type policyStatement struct {
	Effect      string
	Action      oneOrMore
	NotAction   oneOrMore
	Resource    oneOrMore
	NotResource oneOrMore
	Condition   map[string]map[string]any
}

// oneOrMore is a string or an array of strings.
type oneOrMore []string

// UnmarshalJSON reads either form.
func (o *oneOrMore) UnmarshalJSON(data []byte) error {
	if strings.HasPrefix(string(data), `"`) {
		*o = make(oneOrMore, 1)
		return json.Unmarshal(data, &(*o)[0])
	}
	return json.Unmarshal(data, (*[]string)(o))
}

// validPolicy tells whether a text passes RAM's grammar check: nothing unknown, nothing missing.
func validPolicy(text string) bool {
	var document policyDocument
	strictErrors, err := kjson.UnmarshalStrict([]byte(text), &document) // names are case-sensitive, unlike encoding/json's
	if err != nil || len(strictErrors) > 0 {
		return false
	}
	for _, statement := range document.Statement {
		if !statement.valid() {
			return false
		}
	}
	return document.Version == "1" && len(document.Statement) > 0
}

func (s policyStatement) valid() bool {
	return (s.Effect == "Allow" || s.Effect == "Deny") &&
		exactlyOne(s.Action, s.NotAction) &&
		exactlyOne(s.Resource, s.NotResource)
}

func exactlyOne(a, b oneOrMore) bool {
	return (len(a) > 0) != (len(b) > 0)
}
