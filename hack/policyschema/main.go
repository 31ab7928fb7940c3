// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command policyschema bounds the policies in generated CRDs, which no marker can: how deep they nest, how many nodes a
// node has, and how long texts are. A node of RAM's grammar may be a list, a map or a value, and none of its keys may be
// dropped. Without a bound, one object nested to the limit of the API server's JSON parser makes every List fail that holds
// it, and one with a list of 700,000 numbers costs 68 MiB to decode.
package main

import (
	"errors"
	"fmt"
	"os"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

func main() {
	for _, path := range os.Args[1:] {
		if err := rewrite(path); err != nil {
			fmt.Fprintf(os.Stderr, "policyschema: %s: %v\n", path, err)
			os.Exit(1)
		}
	}
}

// rewrite bounds spec.policy in the CRD of a file.
func rewrite(path string) error {
	document, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var crd map[string]any
	if err := yaml.Unmarshal(document, &crd); err != nil {
		return err
	}
	versions, _, err := unstructured.NestedFieldNoCopy(crd, "spec", "versions")
	if err != nil || versions == nil {
		return errors.New("this is no CRD")
	}
	for _, v := range versions.([]any) {
		if err := bound(v.(map[string]any)); err != nil {
			return err
		}
	}
	out, err := yaml.Marshal(crd)
	if err != nil {
		return err
	}
	return os.WriteFile(path, append([]byte("---\n"), out...), 0o644)
}

// What a policy of 2048 characters can have at most, rounded up: characters of a text, texts of a list, statements, elements
// of a statement, operators of a condition and keys of an operator. A schema cannot bound the sum, nor the length of keys.
const maxText, maxTexts, maxStatements, maxElements, maxOperators, maxKeys = 2048, 512, 64, 16, 64, 256

// bound gives spec.policy of a version as many levels as RAM's grammar has: element, statement, its element, operator,
// condition key, value.
func bound(version map[string]any) error {
	field, found, err := unstructured.NestedFieldNoCopy(version, "schema", "openAPIV3Schema", "properties", "spec", "properties", "policy")
	if err != nil || !found {
		return errors.New("there is no spec.policy")
	}
	leaf := node(0, nil, 0, nil)
	values := node(maxTexts, leaf, 0, nil)
	operator := node(maxTexts, leaf, maxKeys, values)
	element := node(maxTexts, leaf, maxOperators, operator)
	statement := node(0, nil, maxElements, element)
	policy := field.(map[string]any)
	policy["additionalProperties"] = node(maxStatements, statement, maxOperators, element)
	delete(policy, "x-kubernetes-preserve-unknown-fields")
	return nil
}

// node may be of any type, and nothing of it is dropped, null neither. items and values are what a list and a map have.
func node(maxItems int64, items any, maxProperties int64, values any) map[string]any {
	n := map[string]any{
		"maxLength": int64(maxText), "maxItems": maxItems, "maxProperties": maxProperties,
		"x-kubernetes-preserve-unknown-fields": true, "nullable": true,
	}
	if items != nil {
		n["items"] = items
	}
	if values != nil {
		n["additionalProperties"] = values
	}
	return n
}
