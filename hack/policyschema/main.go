// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command policyschema bounds how deep the policies in generated CRDs may nest, which no marker can say: a node of
// RAM's grammar may be a list, a map or a value, and none of its keys may be dropped. Without a bound, one object nested
// to the limit of the API server's JSON parser makes every List fail that holds it.
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
	versions, _, err := unstructured.NestedSlice(crd, "spec", "versions")
	if err != nil || len(versions) == 0 {
		return errors.New("this is no CRD")
	}
	for _, v := range versions {
		if err := bound(v.(map[string]any)); err != nil {
			return err
		}
	}
	if err := unstructured.SetNestedSlice(crd, versions, "spec", "versions"); err != nil {
		return err
	}
	out, err := yaml.Marshal(crd)
	if err != nil {
		return err
	}
	return os.WriteFile(path, append([]byte("---\n"), out...), 0o644)
}

// bound gives spec.policy of a version as many levels as RAM's grammar has: element, statement, its element, operator,
// condition key, value.
func bound(version map[string]any) error {
	field := []string{"schema", "openAPIV3Schema", "properties", "spec", "properties", "policy"}
	policy, found, err := unstructured.NestedMap(version, field...)
	if err != nil || !found {
		return errors.New("there is no spec.policy")
	}
	none := int64(0)
	leaf := whole(map[string]any{"maxItems": none, "maxProperties": none})
	values := whole(map[string]any{"items": leaf, "maxProperties": none})
	operator := whole(map[string]any{"items": leaf, "additionalProperties": values})
	element := whole(map[string]any{"items": leaf, "additionalProperties": operator})
	statement := whole(map[string]any{"maxItems": none, "additionalProperties": element})
	policy["additionalProperties"] = whole(map[string]any{"items": statement, "additionalProperties": element})
	delete(policy, "x-kubernetes-preserve-unknown-fields")
	return unstructured.SetNestedMap(version, policy, field...)
}

// whole is a node that may be of any type and of which nothing is dropped, null neither.
func whole(node map[string]any) map[string]any {
	node["x-kubernetes-preserve-unknown-fields"] = true
	node["nullable"] = true
	return node
}
