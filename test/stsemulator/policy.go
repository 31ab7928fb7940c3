// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stsemulator

import (
	"encoding/json"
	"io"
	"strings"
)

// maxPolicy is the greatest size of a session policy, in characters.
const maxPolicy = 2048

// validPolicy reports whether a text passes RAM's grammar check. One function stands for each production of the grammar at
// https://www.alibabacloud.com/help/ram/user-guide/policy-structure-and-syntax, in its versions of 2019 (with NotAction and
// NotResource) to 2026. By its rules every value is a string in quotes, names and predefined values are case-sensitive, and
// an element that may have several values may have a single one outside a list. It knows nothing of the operator's own
// check, so that each can find the other's mistakes.
func validPolicy(text string) bool {
	decoder := json.NewDecoder(strings.NewReader(text))
	policy, ok := readNode(decoder, 0)
	if _, err := decoder.Token(); !ok || err != io.EOF {
		return false
	}
	return policy.has("Version", "Statement") && policy.fields["Version"].is("1") && policy.fields["Statement"].listOf(statementBlock)
}

// statementBlock is <statement>: effect, action, resource, and perhaps a condition.
func statementBlock(n node) bool {
	if !n.has("Effect", "Action", "NotAction", "Resource", "NotResource", "Condition") {
		return false
	}
	return n.fields["Effect"].is("Allow", "Deny") &&
		n.oneOf("Action", "NotAction") && n.oneOf("Resource", "NotResource") &&
		(n.fields["Condition"] == nil || conditionMap(*n.fields["Condition"]))
}

// conditionMap is <condition_map>. Tablestore's guide shows an empty one.
func conditionMap(n node) bool {
	if n.kind != nodeObject {
		return false
	}
	for operator, keys := range n.fields {
		if !documentedOperator(operator) || keys.kind != nodeObject || len(keys.fields) == 0 {
			return false
		}
		for _, values := range keys.fields {
			severalTruths := operator == "Bool" && len(values.items) > 1
			if severalTruths || !values.values(func(node) bool { return true }) {
				return false
			}
		}
	}
	return true
}

// documentedOperator reports whether RAM's page on policy elements has a condition operator of that name: those of strings,
// numbers, times, truth values and IP addresses.
func documentedOperator(name string) bool {
	comparisons := map[string]string{
		"String":  " Equals NotEquals EqualsIgnoreCase NotEqualsIgnoreCase Like NotLike ",
		"Numeric": " Equals NotEquals LessThan LessThanEquals GreaterThan GreaterThanEquals ",
		"Date":    " Equals NotEquals LessThan LessThanEquals GreaterThan GreaterThanEquals ",
	}
	for category, all := range comparisons {
		if comparison, ok := strings.CutPrefix(name, category); ok && comparison != "" {
			return strings.Contains(all, " "+comparison+" ")
		}
	}
	return name == "Bool" || name == "IpAddress" || name == "NotIpAddress"
}

// nodeKind is what a piece of a JSON text is.
type nodeKind int

const (
	nodeOther nodeKind = iota // a number, a truth value or null, none of which the grammar has
	nodeString
	nodeList
	nodeObject
)

// node is a piece of a JSON text.
type node struct {
	kind   nodeKind
	text   string
	items  []node
	fields map[string]*node
}

// has reports whether the node is an object with no other fields than these.
func (n node) has(names ...string) bool {
	if n.kind != nodeObject {
		return false
	}
	known := 0
	for _, name := range names {
		if n.fields[name] != nil {
			known++
		}
	}
	return known == len(n.fields)
}

// is reports whether the node is one of these strings.
func (n *node) is(texts ...string) bool {
	for _, text := range texts {
		if n != nil && n.kind == nodeString && n.text == text {
			return true
		}
	}
	return false
}

// listOf reports whether the node is a list of at least one item, all as wanted.
func (n *node) listOf(wanted func(node) bool) bool {
	if n == nil || n.kind != nodeList || len(n.items) == 0 {
		return false
	}
	for _, item := range n.items {
		if !wanted(item) {
			return false
		}
	}
	return true
}

// values reports whether the node is a string, or a list of at least one, each as wanted.
func (n *node) values(wanted func(node) bool) bool {
	text := func(n node) bool { return n.kind == nodeString && wanted(n) }
	return n != nil && text(*n) || n.listOf(text)
}

// oneOf reports whether the object has exactly one of two fields, with values that are not empty.
func (n node) oneOf(first, second string) bool {
	a, b := n.fields[first], n.fields[second]
	if (a == nil) == (b == nil) {
		return false
	}
	if a == nil {
		a = b
	}
	return a.values(func(n node) bool { return n.text != "" })
}

// maxDepth is more than the grammar nests.
const maxDepth = 8

// readNode reads one value of JSON. An object that has a field twice is refused.
func readNode(decoder *json.Decoder, depth int) (node, bool) {
	token, err := decoder.Token()
	if err != nil || depth > maxDepth {
		return node{}, false
	}
	switch t := token.(type) {
	case string:
		return node{kind: nodeString, text: t}, true
	case json.Delim:
		if t == '[' {
			return readList(decoder, depth+1)
		}
		return readFields(decoder, depth+1)
	default:
		return node{}, true
	}
}

func readList(decoder *json.Decoder, depth int) (node, bool) {
	list := node{kind: nodeList}
	for decoder.More() {
		item, ok := readNode(decoder, depth)
		if !ok {
			return node{}, false
		}
		list.items = append(list.items, item)
	}
	_, err := decoder.Token()
	return list, err == nil
}

func readFields(decoder *json.Decoder, depth int) (node, bool) {
	object := node{kind: nodeObject, fields: map[string]*node{}}
	for decoder.More() {
		name, err := decoder.Token()
		if err != nil {
			return node{}, false
		}
		value, ok := readNode(decoder, depth)
		if _, twice := object.fields[name.(string)]; !ok || twice {
			return node{}, false
		}
		object.fields[name.(string)] = &value
	}
	_, err := decoder.Token()
	return object, err == nil
}
