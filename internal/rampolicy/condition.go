// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package rampolicy

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// conditionOperators are the operators of RAM's documentation. Their names are case-sensitive.
// See https://www.alibabacloud.com/help/ram/conditional-operator.
var conditionOperators = []string{
	"StringEquals", "StringNotEquals", "StringEqualsIgnoreCase", "StringNotEqualsIgnoreCase", "StringLike", "StringNotLike",
	"NumericEquals", "NumericNotEquals", "NumericLessThan", "NumericLessThanEquals", "NumericGreaterThan", "NumericGreaterThanEquals",
	"DateEquals", "DateNotEquals", "DateLessThan", "DateLessThanEquals", "DateGreaterThan", "DateGreaterThanEquals",
	operatorBool, "IpAddress", "NotIpAddress",
}

// operatorBool allows one value only.
const operatorBool = "Bool"

// checkCondition requires {operator: {key: string or list of strings}}, which may be empty. STS checks operators that RAM does
// not document, because RAM adds operators. An operator that differs only in case is rejected.
func checkCondition(where string, value any) error {
	operators, ok := value.(map[string]any)
	if !ok {
		return fmt.Errorf("%s must be an object of operators, such as StringEquals", where)
	}
	for _, operator := range slices.Sorted(maps.Keys(operators)) { // in order, so that the same policy has the same error
		if err := checkOperator(fmt.Sprintf("%s.%.64s", where, operator), operator, operators[operator]); err != nil {
			return err
		}
	}
	return nil
}

func checkOperator(where, operator string, value any) error {
	sameName := func(documented string) bool { return strings.EqualFold(documented, operator) }
	if i := slices.IndexFunc(conditionOperators, sameName); i >= 0 && conditionOperators[i] != operator {
		return fmt.Errorf("%s: names of operators are case-sensitive: write %s", where, conditionOperators[i])
	}
	byKey, ok := value.(map[string]any)
	if !ok || len(byKey) == 0 {
		return fmt.Errorf("%s must be an object of at least one condition key with its values", where)
	}
	for _, key := range slices.Sorted(maps.Keys(byKey)) {
		place := fmt.Sprintf("%s.%.64s", where, key)
		if err := checkQuoted(place, byKey[key]); err != nil {
			return err
		}
		if list, isList := byKey[key].([]any); isList && operator == operatorBool && len(list) > 1 {
			return fmt.Errorf("%s must have one value, since a condition has only one truth value", place)
		}
	}
	return nil
}

// checkQuoted requires a string or a list of at least one string. RAM rejects unquoted numbers and booleans, to which YAML
// decodes unquoted values.
func checkQuoted(where string, value any) error {
	list, isList := value.([]any)
	if !isList {
		return checkString(where, value)
	}
	if len(list) == 0 {
		return fmt.Errorf("%s must be a string or a list of at least one string", where)
	}
	for i, item := range list {
		if err := checkString(fmt.Sprintf("%s[%d]", where, i), item); err != nil {
			return err
		}
	}
	return nil
}

func checkString(where string, value any) error {
	switch v := value.(type) {
	case string:
		return nil
	case bool:
		return fmt.Errorf("%s must be a string: write %q", where, strconv.FormatBool(v))
	case json.Number:
		return fmt.Errorf("%s must be a string: write \"%.24s\"", where, v.String())
	}
	return fmt.Errorf("%s must be a string or a list of strings", where)
}
