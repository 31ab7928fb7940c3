// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package rampolicy checks session policies against RAM's policy grammar, before they are sent to STS.
package rampolicy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxPolicy is STS's limit for a session policy, in characters.
const maxPolicy = 2048

// MaxBytes is the maximum size of a session policy that is decoded. A policy of 2048 characters is not longer in the API
// server's JSON, which has no white space and encodes a character in at most six bytes.
const MaxBytes = 6 * maxPolicy

// Compact checks a session policy against RAM's grammar and returns it without white space and with its keys in
// order, so that equal policies are equal strings. A policy that is too long is rejected before it is decoded. The error names
// the invalid element and what to write. STS checks actions, resources and conditions.
// Grammar: https://www.alibabacloud.com/help/ram/user-guide/policy-structure-and-syntax.
func Compact(raw []byte) (string, error) {
	if err := checkSize(raw); err != nil {
		return "", err
	}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	var policy map[string]any
	if err := decoder.Decode(&policy); err != nil || decoder.More() {
		return "", errors.New("a policy must be one object with Version and Statement")
	}
	if err := checkPolicy(policy); err != nil {
		return "", err
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false) // "<" would count as six characters
	if err := encoder.Encode(policy); err != nil {
		return "", errors.New("a policy must be one object with Version and Statement")
	}
	compact := strings.TrimSpace(out.String())
	if n := utf8.RuneCountInString(compact); n > maxPolicy {
		return "", fmt.Errorf("the policy is %d characters long in compact form, and STS accepts at most %d. Shorten it, or attach it to the role", n, maxPolicy)
	}
	return compact, nil
}

func checkPolicy(policy map[string]any) error {
	if err := onlyKeys("the policy", policy, "Version", "Statement"); err != nil {
		return err
	}
	if policy["Version"] != "1" {
		return errors.New(`the policy's Version must be "1", in quotes`)
	}
	statements, ok := policy["Statement"].([]any)
	if !ok || len(statements) == 0 {
		return errors.New("the policy's Statement must be a list of at least one statement")
	}
	for i, s := range statements {
		if err := checkStatement(fmt.Sprintf("Statement[%d]", i), s); err != nil {
			return err
		}
	}
	return nil
}

func checkStatement(where string, value any) error {
	statement, ok := value.(map[string]any)
	if !ok {
		return fmt.Errorf("%s must be an object with Effect, Action and Resource", where)
	}
	if _, trust := statement["Principal"]; trust {
		return fmt.Errorf("%s: Principal belongs in a role's trust policy, not in a session policy: remove it", where)
	}
	if err := onlyKeys(where, statement, "Effect", "Action", "NotAction", "Resource", "NotResource", "Condition"); err != nil {
		return err
	}
	if e := statement["Effect"]; e != "Allow" && e != "Deny" {
		return fmt.Errorf("%s: Effect must be Allow or Deny", where)
	}
	for _, pair := range [][2]string{{"Action", "NotAction"}, {"Resource", "NotResource"}} {
		if err := checkOneOf(where, statement, pair); err != nil {
			return err
		}
	}
	if condition, set := statement["Condition"]; set {
		return checkCondition(where+".Condition", condition)
	}
	return nil
}

// checkOneOf requires exactly one element of the pair, with a string or a list of strings.
func checkOneOf(where string, statement map[string]any, pair [2]string) error {
	first, hasFirst := statement[pair[0]]
	second, hasSecond := statement[pair[1]]
	if hasFirst == hasSecond {
		return fmt.Errorf("%s needs exactly one of %s and %s", where, pair[0], pair[1])
	}
	name, value := pair[0], first
	if hasSecond {
		name, value = pair[1], second
	}
	return checkStrings(where+"."+name, value)
}

// checkStrings requires a non-empty string, or a list of at least one.
func checkStrings(where string, value any) error {
	if err := checkQuoted(where, value); err != nil {
		return err
	}
	if list, isList := value.([]any); value == "" || isList && slices.Contains(list, any("")) {
		return fmt.Errorf("%s must not hold an empty string: name what is meant", where)
	}
	return nil
}

// onlyKeys rejects unknown keys; the error names the first of them in order.
func onlyKeys(where string, object map[string]any, allowed ...string) error {
	var unknown []string
	for k := range object {
		if !slices.Contains(allowed, k) {
			unknown = append(unknown, k)
		}
	}
	if len(unknown) == 0 {
		return nil
	}
	return fmt.Errorf("%s has an unknown element %.64q: it may have %s", where, slices.Min(unknown), strings.Join(allowed, ", "))
}

// Truncate returns raw, or its size as a placeholder if raw is longer than MaxBytes. Compact reports that size.
func Truncate(raw []byte) []byte {
	if len(raw) <= MaxBytes {
		return raw
	}
	return strconv.AppendInt(nil, int64(len(raw)), 10)
}

// checkSize rejects a policy that is too long, before it is decoded.
func checkSize(raw []byte) error {
	size := len(raw)
	if cut, err := strconv.Atoi(string(raw[:min(size, 20)])); err == nil && cut > size {
		size = cut // a placeholder: a number is never a valid policy
	}
	if size > MaxBytes {
		return fmt.Errorf("the policy is %d bytes long, and STS accepts at most %d characters. Shorten it, or attach it to the role", size, maxPolicy)
	}
	return nil
}
