// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1_test

import (
	"fmt"
	"strings"
	"testing"
)

// role is the least that a StsCredential must say.
const role = "roleARN: acs:ram::1234567890123456:role/orders-reader"

func TestStsCredentialIdentityRules(t *testing.T) {
	check(t, credentialKind, role, identityRows)
}

func TestStsCredentialTimeRules(t *testing.T) {
	check(t, credentialKind, role, timeRows)
}

func TestStsCredentialSecretRules(t *testing.T) {
	check(t, credentialKind, role, secretRows)
	check(t, credentialKind, role, keyRows("labels"))
	check(t, credentialKind, role, keyRows("annotations"))
}

func TestStsCredentialRulesTogether(t *testing.T) {
	check(t, credentialKind, role, []row{
		{"a sample", "{duration: 1h, renewBefore: 20m, secret: {name: orders-sts, labels: {app.kubernetes.io/part-of: orders}}}", ""},
		{"everything as long as it may be", largestCredential(), ""},
		{"suspend is true or false", "suspend: 'yes'", "spec.suspend: must be of type boolean"},
		{"a unit is needed", "duration: 3600", "spec.duration: must be of type string"},
		{"a policy is an object", "policy: '{}'", "spec.policy: must be of type object"},
	})
}

var identityRows = []row{
	{"no role", "roleARN: null", "spec.roleARN: Required value"},
	{"a role's name of 64", "roleARN: acs:ram::1:role/" + times(64, "r"), ""},
	{"a role's name of 65", "roleARN: acs:ram::1:role/" + times(65, "r"), "spec.roleARN: copy the ARN of a role from the RAM console"},
	{"a role's name of every kind of character", "roleARN: acs:ram::1:role/aA0._-", ""},
	{"an account of 32 digits", "roleARN: acs:ram::" + times(32, "1") + ":role/r", ""},
	{"an account of 33 digits", "roleARN: acs:ram::" + times(33, "1") + ":role/r", "spec.roleARN: roleARN must look like"},
	{"an account's alias", "roleARN: acs:ram::shop:role/r", "spec.roleARN: roleARN must look like"},
	{"a role's name alone", "roleARN: orders-reader", "spec.roleARN: roleARN must look like"},
	{"no name", "roleARN: 'acs:ram::1:role/'", "spec.roleARN: roleARN must look like"},
	{"a pattern is for grants", "roleARN: 'acs:ram::1:role/orders-*'", "spec.roleARN: roleARN must look like"},
	{"a session's ARN", "roleARN: acs:ram::1:role/orders/session", "spec.roleARN: roleARN must look like"},
	{"a user's ARN", "roleARN: acs:ram::1:user/orders", "spec.roleARN: roleARN must look like"},
	{"an AWS role", "roleARN: arn:aws:iam::123456789012:role/orders", "spec.roleARN: roleARN must look like"},
	{"a newline after a role", `roleARN: "acs:ram::1:role/orders\n"`, "spec.roleARN: roleARN must look like"},
	{"a role of 161", "roleARN: acs:ram::1:role/" + times(145, "r"), "spec.roleARN: Too long"},

	{"a session name of 2", "sessionName: s.", ""},
	{"a session name of 1", "sessionName: s", "spec.sessionName: must be 2 to 64 characters"},
	{"an empty session name", "sessionName: ''", "spec.sessionName: must be 2 to 64 characters"},
	{"a session name of 64", "sessionName: " + times(64, "s"), ""},
	{"a session name of 65", "sessionName: " + times(65, "s"), "spec.sessionName: Too long"},
	{"a session name of every kind of character", "sessionName: aA0.@_-", ""},
	{"a session name with a slash", "sessionName: shop/orders", "spec.sessionName: must be 2 to 64 characters of A-Z, a-z, 0-9, '.', '@', '_' and '-'"},
	{"a session name in Greek", "sessionName: λόγος", "spec.sessionName: must be 2 to 64 characters"},

	{"an external ID of 2", "externalID: ab", ""},
	{"an external ID of 1", "externalID: a", "spec.externalID: must be 2 to 1224 characters"},
	{"an external ID of 1224", "externalID: " + times(1224, "e"), ""},
	{"an external ID of 1225", "externalID: " + times(1225, "e"), "spec.externalID: Too long"},
	{"an external ID of every kind of character", "externalID: 'aA0_+=,.@:/-'", ""},
	{"an external ID with a blank", "externalID: 'a b'", "spec.externalID: any of _+=,.@:/-"},

	{"a source identity of 2", "sourceIdentity: ab", ""},
	{"a source identity of 1", "sourceIdentity: a", "spec.sourceIdentity: must be 2 to 64 characters"},
	{"a source identity of 64", "sourceIdentity: " + times(64, "i"), ""},
	{"a source identity of 65", "sourceIdentity: " + times(65, "i"), "spec.sourceIdentity: Too long"},
	{"a source identity of every kind of character", "sourceIdentity: 'aA0_+=,.@-'", ""},
	{"a source identity that starts as Alibaba's own do", "sourceIdentity: 'acs:x'", "spec.sourceIdentity: any of _+=,.@-"},

	{"a policy", `policy: {Version: "1", Statement: []}`, ""},
	{"an empty policy", "policy: {}", "spec.policy: should have at least 1 properties"},
	{"a policy with 16 elements", "policy: " + numbered(16), ""},
	{"a policy with 17 elements", "policy: " + numbered(17), "spec.policy: Too many"},
}

var timeRows = []row{
	{"15m", "duration: 15m", ""},
	{"just under 15m", "duration: 14m59s", "spec.duration: duration must be from 15m to 12h"},
	{"12h", "duration: 12h", ""},
	{"just over 12h", "duration: 12h0m1s", "spec.duration: duration must be from 15m to 12h"},
	{"hours and minutes", "duration: 1h30m", ""},
	{"seconds", "duration: 900s", ""},
	{"nothing", "duration: ''", "spec.duration: such as 45m, 1h or 1h30m"},
	{"a number without a unit", "duration: '3600'", "spec.duration: such as 45m, 1h or 1h30m"},
	{"days", "duration: 1d", "spec.duration: such as 45m, 1h or 1h30m"},
	{"parts of an hour", "duration: 1.5h", "spec.duration: in whole hours, minutes and seconds"},
	{"milliseconds", "duration: 3600000ms", "spec.duration: in whole hours, minutes and seconds"},
	{"a sign", "duration: +1h", "spec.duration: in whole hours, minutes and seconds"},
	{"less than nothing", "duration: -1h", "spec.duration: in whole hours, minutes and seconds"},
	{"a newline after it", `duration: "1h\n"`, "spec.duration: in whole hours, minutes and seconds"},
	{"four parts", "duration: 1h1m1s1s", "spec.duration: in whole hours, minutes and seconds"},
	{"as long as it may be, in bounds", "duration: 00001h00001m00001s", ""},
	{"longer than that", "duration: 000001h00001m00001s", "spec.duration: Too long"},

	{"renewed 1m before", "renewBefore: 1m", ""},
	{"renewed just under 1m before", "renewBefore: 59s", "spec.renewBefore: renewBefore must be at least 1m"},
	{"renewed nothing before", "renewBefore: ''", "spec.renewBefore: such as 20m or 1h30m"},
	{"renewed a share before", "renewBefore: 30%", "spec.renewBefore: such as 20m or 1h30m"},
	{"renewed longer before than can be written", "renewBefore: 000001h00001m00001s", "spec.renewBefore: Too long"},
	{"5m short of the default", "renewBefore: 55m", ""},
	{"less than 5m short of the default", "renewBefore: 55m1s", "spec.renewBefore: lower renewBefore or raise duration"},
	{"5m short of the duration", "{duration: 2h, renewBefore: 1h55m}", ""},
	{"less than 5m short of the duration", "{duration: 2h, renewBefore: 1h55m1s}", "spec.renewBefore: at least 5m shorter than duration (which is 1h when left out)"},
	{"5m short of the least duration", "{duration: 15m, renewBefore: 10m}", ""},
	{"less than 5m short of the least duration", "{duration: 15m, renewBefore: 601s}", "spec.renewBefore: lower renewBefore or raise duration"},
	{"5m short of the longest duration", "{duration: 12h, renewBefore: 11h55m}", ""},
	{"longer than any duration", "{duration: 12h, renewBefore: 99999h99999h99999h}", "spec.renewBefore: lower renewBefore or raise duration"},
	{"a bad duration is reported beside a good renewBefore", "{duration: 1d, renewBefore: 20m}", "spec.duration: such as 45m, 1h or 1h30m"},
	{"a bad renewBefore is reported beside a good duration", "{duration: 1h, renewBefore: 1d}", "spec.renewBefore: such as 20m or 1h30m"},
}

var secretRows = []row{
	{"an empty secret", "secret: {}", ""},
	{"a deletion policy", "secret: {deletionPolicy: Retain}", ""},
	{"a deletion policy of another kind", "secret: {deletionPolicy: Orphan}", "spec.secret.deletionPolicy: Unsupported value"},
	{"a Secret's name of 253", "secret: {name: " + times(253, "s") + "}", ""},
	{"a Secret's name of 254", "secret: {name: " + times(254, "s") + "}", "spec.secret.name: Too long"},
	{"a Secret's name with dots and dashes", "secret: {name: a-b.c--d.0}", ""},
	{"an empty Secret's name", "secret: {name: ''}", "spec.secret.name: secret.name must be a Secret's name"},
	{"a Secret's name in capitals", "secret: {name: Orders}", "spec.secret.name: lower-case letters, digits, '-' and '.'"},
	{"a Secret's name with a dash at the end", "secret: {name: orders-}", "spec.secret.name: starting and ending with a letter or digit"},
	{"a Secret's name with an empty part", "secret: {name: a..b}", "spec.secret.name: secret.name must be a Secret's name"},
	{"a Secret of another namespace", "secret: {name: other/orders}", "spec.secret.name: secret.name must be a Secret's name"},

	{"a label's empty value", "secret: {labels: {team: ''}}", ""},
	{"a label's value of 63", "secret: {labels: {team: " + times(63, "v") + "}}", ""},
	{"a label's value of 64", "secret: {labels: {team: " + times(64, "v") + "}}", "spec.secret.labels.team: Too long"},
	{"a label's value with a blank", "secret: {labels: {team: a b}}", "spec.secret.labels[team]: a label's value must be letters, digits, '-', '_' and '.'"},
	{"a label's value with a dash at the end", "secret: {labels: {team: a-}}", "spec.secret.labels[team]: starting and ending with a letter or digit"},
	{"annotations of more than 32768 bytes", "secret: {annotations: {" + longAnnotations(11) + "}}", "spec.secret.annotations: must be at most 32768 bytes in all: shorten them"},
	{"an annotation's value of 1024", "secret: {annotations: {team: " + times(1024, "é") + "}}", ""},
	{"an annotation's value of 1025", "secret: {annotations: {team: " + times(1025, "v") + "}}", "spec.secret.annotations.team: Too long"},
	{"an annotation's value of anything", `secret: {annotations: {team: "{\"a\": [1]}\n☕"}}`, ""},
}

// keyRows are the rules on the keys of labels and annotations, which are the same.
func keyRows(field string) []row {
	key := func(name, key, want string) row {
		if want != "" {
			want = "spec.secret." + field + ": " + want
		}
		return row{field + ", " + name, fmt.Sprintf("secret: {%s: {%q: v}}", field, key), want}
	}
	const syntax, reserved = "key of up to 253 characters such as team or example.com/team", "are reserved. Use a prefix of your own"
	return []row{
		{field + ", 32", "secret: {" + field + ": " + numbered(32) + "}", ""},
		{field + ", 33", "secret: {" + field + ": " + numbered(33) + "}", "spec.secret." + field + ": Too many"},
		key("a name", "team", ""),
		key("a name of every kind of character", "aA0-_.z", ""),
		key("a name of 63", times(63, "k"), ""),
		key("a name of 64", times(64, "k"), syntax),
		key("a prefix", "example.com/team", ""),
		key("a prefix and a name of 253", times(249, "p")+"/key", ""),
		key("a prefix and a name of 254", times(250, "p")+"/key", syntax),
		key("nothing", "", syntax),
		key("a prefix alone", "example.com/", syntax),
		key("a name after a slash alone", "/team", syntax),
		key("two prefixes", "example.com/team/x", syntax),
		key("a prefix in capitals", "Example.com/team", syntax),
		key("a dash at the end", "team-", syntax),
		key("a blank", "my team", syntax),
		key("a recommended label", "app.kubernetes.io/name", ""),
		key("a prefix that looks like Kubernetes'", "notkubernetes.io/x", ""),
		key("a name that looks like Kubernetes'", "kubernetes.io", ""),
		key("who manages it", "app.kubernetes.io/managed-by", reserved),
		key("Kubernetes'", "kubernetes.io/x", reserved),
		key("kubectl's", "kubectl.kubernetes.io/last-applied-configuration", reserved),
		key("one under the recommended", "x.app.kubernetes.io/name", reserved),
		key("Kubernetes' short one", "k8s.io/x", reserved),
		key("a node's", "node.k8s.io/x", reserved),
		key("ours", "sts.alibabacloud.com/x", reserved),
		key("one under ours", "x.sts.alibabacloud.com/x", reserved),
	}
}

// largestCredential meets every bound at once, so that the API server's cost limit holds for whatever is admitted.
func largestCredential() string {
	labels, annotations, templates := make([]string, 32), make([]string, 32), make([]string, 32)
	for i := range labels {
		key := fmt.Sprintf("%s.%02d/%s", times(186, "p"), i, times(63, "k"))
		labels[i] = key + ": " + times(63, "v")
		annotations[i] = key + ": " + times(1024, "x")
		templates[i] = fmt.Sprintf("%s%02d: %s", times(251, "k"), i, times(256, "t"))
	}
	return strings.Join([]string{
		"roleARN: acs:ram::" + times(32, "1") + ":role/" + times(64, "r"), "sessionName: " + times(64, "s"),
		"duration: 00011h00059m00059s", "renewBefore: 00011h00054m00059s",
		"externalID: " + times(1224, "e"), "sourceIdentity: " + times(64, "i"), "policy: " + numbered(16), "suspend: true",
		"rollout: {mode: Auto, targets: " + list(32, "{kind: StatefulSet, name: "+times(250, "n")+"%03d}") + "}",
		"secret:", "  name: " + times(253, "n"),
		"  labels: {" + strings.Join(labels, ", ") + "}", "  annotations: {" + strings.Join(annotations, ", ") + "}",
		"  formats: " + everyFormat, "  template: {data: {" + strings.Join(templates, ", ") + "}}",
	}, "\n")
}

func times(n int, s string) string { return strings.Repeat(s, n) }

// numbered is a map with n entries.
func numbered(n int) string {
	entries := make([]string, n)
	for i := range entries {
		entries[i] = fmt.Sprintf("k%d: v", i)
	}
	return "{" + strings.Join(entries, ", ") + "}"
}

// longAnnotations are n annotations of 1024 characters, three bytes each.
func longAnnotations(n int) string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("k%d: %s", i, times(1024, "☕"))
	}
	return strings.Join(all, ", ")
}
