// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1_test

import (
	"fmt"
	"strings"
	"testing"
)

// grant is the least that a StsRoleGrant must say.
const grant = `
namespaces: {names: [shop]}
roleARNs: [acs:ram::1234567890123456:role/orders-reader]
`

func TestStsRoleGrantRoleRules(t *testing.T) {
	check(t, grantKind, grant, roleRows)
}

func TestStsRoleGrantLimitRules(t *testing.T) {
	check(t, grantKind, grant, limitRows)
}

func TestStsRoleGrantNamespaceRules(t *testing.T) {
	check(t, grantKind, grant, namespaceRows)
	check(t, grantKind, grant, matchLabelsRows)
	check(t, grantKind, grant, matchExpressionsRows)
}

func TestStsRoleGrantRulesTogether(t *testing.T) {
	check(t, grantKind, grant, []row{
		{"names and a selector", "namespaces: {names: [shop], selector: {matchLabels: {team: shop}}}", ""},
		{"everything as long as it may be", largestGrant(), ""},
	})
}

var roleRows = []row{
	{"no roles", "roleARNs: null", "spec.roleARNs: Required value"},
	{"an empty list of roles", "roleARNs: []", "spec.roleARNs: should have at least 1 items"},
	{"64 roles", "roleARNs: " + list(64, "acs:ram::1:role/r%d"), ""},
	{"65 roles", "roleARNs: " + list(65, "acs:ram::1:role/r%d"), "spec.roleARNs: Too many"},
	{"a role twice", "roleARNs: [acs:ram::1:role/r, acs:ram::1:role/r]", "spec.roleARNs[1]: Duplicate value"},
	roleRow("a prefix", "acs:ram::1:role/shop-*", ""),
	roleRow("a suffix", "acs:ram::1:role/*-reader", ""),
	roleRow("two stars", "acs:ram::1:role/*-shop-*", ""),
	roleRow("a star before a letter", "acs:ram::1:role/*a", ""),
	roleRow("every kind of character", "acs:ram::1:role/aA0._*-", ""),
	roleRow("a name of 64", "acs:ram::1:role/"+times(64, "r"), ""),
	roleRow("a name of 65", "acs:ram::1:role/"+times(65, "r"), "roleARNs must look like"),
	roleRow("161 characters", "acs:ram::1:role/"+times(145, "r"), "Too long"),
	roleRow("any role of an account", "acs:ram::1:role/*", "with '*' only in the role's name and not alone there"),
	roleRow("any role of an account, twice over", "acs:ram::1:role/**", "with '*' only in the role's name and not alone there"),
	roleRow("any account", "acs:ram::*:role/shop", "with '*' only in the role's name and not alone there"),
	roleRow("some accounts", "acs:ram::12*:role/shop", "with '*' only in the role's name and not alone there"),
	roleRow("anything of an account", "acs:ram::1:*", "roleARNs must look like"),
	roleRow("anything", "*", "roleARNs must look like"),
	roleRow("one character of any kind", "acs:ram::1:role/shop-?", "roleARNs must look like"),
	roleRow("no name", "acs:ram::1:role/", "roleARNs must look like"),
	roleRow("a path", "acs:ram::1:role/*/*", "roleARNs must look like"),
	roleRow("an AWS role", "arn:aws:iam::123456789012:role/shop", "roleARNs must look like"),
}

func roleRow(name, arn, want string) row {
	if want != "" {
		want = "spec.roleARNs[0]: " + want
	}
	return row{name, fmt.Sprintf("roleARNs: [%q]", arn), want}
}

var limitRows = []row{
	{"nothing allowed", "allow: []", ""},
	{"all allowed", "allow: [SessionName, SourceIdentity]", ""},
	{"a limit that does not exist", "allow: [sessionName]", "spec.allow[0]: Unsupported value"},
	{"a limit twice", "allow: [SessionName, SessionName]", "spec.allow[1]: Duplicate value"},
	{"more limits than exist", "allow: [SessionName, SourceIdentity, SessionName]", "spec.allow: Too many"},

	{"15m", "maxDuration: 15m", ""},
	{"just under 15m", "maxDuration: 14m59s", "spec.maxDuration: maxDuration must be from 15m to 12h"},
	{"12h", "maxDuration: 12h", ""},
	{"just over 12h", "maxDuration: 12h0m1s", "spec.maxDuration: maxDuration must be from 15m to 12h"},
	{"days", "maxDuration: 1d", "spec.maxDuration: such as 45m, 1h or 1h30m"},
	{"longer than can be written", "maxDuration: 000001h00001m00001s", "spec.maxDuration: Too long"},

	{"a policy", `policy: {Version: "1", Statement: []}`, ""},
	{"an empty policy", "policy: {}", "spec.policy: should have at least 1 properties"},
	{"a policy with 16 elements", "policy: " + numbered(16), ""},
	{"a policy with 17 elements", "policy: " + numbered(17), "spec.policy: Too many"},
}

var namespaceRows = []row{
	{"no namespaces", "namespaces: null", "spec.namespaces: Required value"},
	{"empty namespaces", "namespaces: {}", "spec.namespaces: namespaces needs names, a selector, or both"},
	{"an empty list of names", "namespaces: {names: []}", "spec.namespaces.names: should have at least 1 items"},
	{"an empty list beside a selector", "namespaces: {names: [], selector: {matchLabels: {team: a}}}", "spec.namespaces.names: should have at least 1 items"},
	{"256 names", "namespaces: {names: " + list(256, "n%d") + "}", ""},
	{"257 names", "namespaces: {names: " + list(257, "n%d") + "}", "spec.namespaces.names: Too many"},
	{"a name twice", "namespaces: {names: [a, a]}", "spec.namespaces.names[1]: Duplicate value"},
	{"a name of 63", "namespaces: {names: [" + times(63, "n") + "]}", ""},
	{"a name of 64", "namespaces: {names: [" + times(64, "n") + "]}", "spec.namespaces.names[0]: Too long"},
	{"any name", "namespaces: {names: ['*']}", "spec.namespaces.names[0]: patterns are not supported, use selector"},
	{"an empty name", "namespaces: {names: ['']}", "spec.namespaces.names[0]: must be lower-case letters, digits and '-'"},
	{"a name in capitals", "namespaces: {names: [Shop]}", "spec.namespaces.names[0]: must be lower-case letters, digits and '-'"},
	{"a name with a dot", "namespaces: {names: [a.b]}", "spec.namespaces.names[0]: must be lower-case letters, digits and '-'"},
	{"a name with a dash at the end", "namespaces: {names: [a-]}", "spec.namespaces.names[0]: must be lower-case letters, digits and '-'"},
	{"an empty selector", "namespaces: {selector: {}}", "spec.namespaces.selector: selector must not be empty"},
	{"an empty selector beside names", "namespaces: {names: [a], selector: {}}", "spec.namespaces.selector: would match every namespace. Name a label"},
	{"a selector of nothing", "namespaces: {selector: {matchLabels: {}, matchExpressions: []}}", "spec.namespaces.selector: selector must not be empty"},
}

var matchLabelsRows = []row{
	selectorRow("a label of one's own", "matchLabels: {example.com/team: shop}", ""),
	selectorRow("Kubernetes' label of the name", "matchLabels: {kubernetes.io/metadata.name: shop}", ""),
	selectorRow("32 labels", "matchLabels: "+numbered(32), ""),
	selectorRow("33 labels", "matchLabels: "+numbered(33), "matchLabels: Too many"),
	selectorRow("a label's name of 63", "matchLabels: {"+times(63, "k")+": v}", ""),
	selectorRow("a label's name of 64", "matchLabels: {"+times(64, "k")+": v}", "matchLabels: a key must be a label key of up to 253 characters such as team or example.com/team"),
	selectorRow("a label's key of 254", "matchLabels: {"+times(250, "p")+"/key: v}", "matchLabels: a key must be a label key"),
	selectorRow("a label's empty name", "matchLabels: {'': v}", "matchLabels: a key must be a label key"),
	selectorRow("a label's value of 63", "matchLabels: {k: "+times(63, "v")+"}", ""),
	selectorRow("a label's value of 64", "matchLabels: {k: "+times(64, "v")+"}", "matchLabels.k: Too long"),
	selectorRow("a label's value with a star", "matchLabels: {k: 'shop-*'}", "matchLabels[k]: a label's value must be letters, digits, '-', '_' and '.'"),
}

var matchExpressionsRows = []row{
	selectorRow("In", "matchExpressions: [{key: k, operator: In, values: [a, b]}]", ""),
	selectorRow("NotIn", "matchExpressions: [{key: k, operator: NotIn, values: ['']}]", ""),
	selectorRow("Exists", "matchExpressions: [{key: k, operator: Exists}]", ""),
	selectorRow("Exists with an empty list", "matchExpressions: [{key: k, operator: Exists, values: []}]", ""),
	selectorRow("DoesNotExist", "matchExpressions: [{key: k, operator: DoesNotExist}]", ""),
	selectorRow("In without values", "matchExpressions: [{key: k, operator: In}]", "matchExpressions[0]: operators In and NotIn need values"),
	selectorRow("NotIn without values", "matchExpressions: [{key: k, operator: NotIn, values: []}]", "matchExpressions[0]: operators In and NotIn need values"),
	selectorRow("Exists with values", "matchExpressions: [{key: k, operator: Exists, values: [v]}]", "matchExpressions[0]: Exists and DoesNotExist take none"),
	selectorRow("DoesNotExist with values", "matchExpressions: [{key: k, operator: DoesNotExist, values: [v]}]", "matchExpressions[0]: Exists and DoesNotExist take none"),
	selectorRow("an operator that does not exist", "matchExpressions: [{key: k, operator: Equals, values: [v]}]", "matchExpressions[0].operator: Unsupported value"),
	selectorRow("no operator", "matchExpressions: [{key: k}]", "matchExpressions[0].operator: Required value"),
	selectorRow("no key", "matchExpressions: [{operator: Exists}]", "matchExpressions[0].key: Required value"),
	selectorRow("an empty key", "matchExpressions: [{key: '', operator: Exists}]", "matchExpressions[0].key: key must be a label key such as team or example.com/team"),
	selectorRow("a key of 253", "matchExpressions: [{key: "+times(249, "p")+"/key, operator: Exists}]", ""),
	selectorRow("a key of 254", "matchExpressions: [{key: "+times(250, "p")+"/key, operator: Exists}]", "matchExpressions[0].key: Too long"),
	selectorRow("a value of 64", "matchExpressions: [{key: k, operator: In, values: ["+times(64, "v")+"]}]", "matchExpressions[0].values[0]: Too long"),
	selectorRow("a value with a star", "matchExpressions: [{key: k, operator: In, values: ['*']}]", "matchExpressions[0].values[0]: a label's value must be letters"),
	selectorRow("64 values", "matchExpressions: [{key: k, operator: In, values: "+list(64, "v%d")+"}]", ""),
	selectorRow("65 values", "matchExpressions: [{key: k, operator: In, values: "+list(65, "v%d")+"}]", "matchExpressions[0].values: Too many"),
	selectorRow("32 expressions", "matchExpressions: "+list(32, "{key: k%d, operator: Exists}"), ""),
	selectorRow("33 expressions", "matchExpressions: "+list(33, "{key: k%d, operator: Exists}"), "matchExpressions: Too many"),
}

func selectorRow(name, selector, want string) row {
	if want != "" {
		want = "spec.namespaces.selector." + want
	}
	return row{name, "namespaces: {selector: {" + selector + "}}", want}
}

// largestGrant meets every bound at once, so that the API server's cost limit holds for whatever is admitted.
func largestGrant() string {
	labels := make([]string, 32)
	for i := range labels {
		labels[i] = fmt.Sprintf("%s.%02d/%s: %s", times(186, "p"), i, times(63, "k"), times(63, "v"))
	}
	expression := fmt.Sprintf("{key: %s/%s, operator: In, values: %s}", times(189, "p"), times(63, "k"), list(64, times(60, "v")+"%03d"))
	return strings.Join([]string{
		"roleARNs: " + list(64, "acs:ram::"+times(32, "1")+":role/"+times(62, "*")+"%02d"),
		"allow: [SessionName, SourceIdentity]", "maxDuration: 00011h00059m00059s", "policy: " + numbered(16),
		"namespaces:", "  names: " + list(256, times(60, "n")+"%03d"), "  selector:",
		"    matchLabels: {" + strings.Join(labels, ", ") + "}",
		"    matchExpressions: [" + strings.Join(repeat(32, expression), ", ") + "]",
	}, "\n")
}

func repeat(n int, s string) []string {
	entries := make([]string, n)
	for i := range entries {
		entries[i] = s
	}
	return entries
}

// list is a list of n entries, each with its number.
func list(n int, format string) string {
	entries := make([]string, n)
	for i := range entries {
		entries[i] = fmt.Sprintf(format, i)
	}
	return "[" + strings.Join(entries, ", ") + "]"
}
