// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command schemas writes a JSON schema for each version of each CRD, for editors and kubeconform, which do not ask the API
// server. The schemas are strict: they refuse unknown fields, as kubectl does. CEL rules have no equivalent in a JSON schema,
// except those that match a text against a pattern.
//
// usage: schemas FOLDER CRD...
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"
)

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: schemas FOLDER CRD...")
		os.Exit(2)
	}
	for _, path := range os.Args[2:] {
		if err := write(os.Args[1], path); err != nil {
			fmt.Fprintf(os.Stderr, "schemas: %s: %v\n", path, err)
			os.Exit(1)
		}
	}
}

// crd has the fields of a CustomResourceDefinition that matter here.
type crd struct {
	Spec struct {
		Group string `json:"group"`
		Scope string `json:"scope"`
		Names struct {
			Kind string `json:"kind"`
		} `json:"names"`
		Versions []struct {
			Name   string `json:"name"`
			Schema struct {
				OpenAPIV3Schema map[string]any `json:"openAPIV3Schema"`
			} `json:"schema"`
		} `json:"versions"`
	} `json:"spec"`
}

// write writes the schemas of the CRD in a file to folder/<group>/<kind>_<version>.json.
func write(folder, path string) error {
	document, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var definition crd
	if err := yaml.Unmarshal(document, &definition); err != nil {
		return err
	}
	spec := definition.Spec
	if spec.Names.Kind == "" || len(spec.Versions) == 0 {
		return errors.New("the file contains no CRD")
	}
	folder = filepath.Join(folder, spec.Group)
	if err := os.MkdirAll(folder, 0o750); err != nil {
		return err
	}
	for _, version := range spec.Versions {
		schema := convert(version.Schema.OpenAPIV3Schema)
		schema["$schema"] = "http://json-schema.org/draft-07/schema#"
		schema["title"] = spec.Names.Kind
		identify(schema, spec.Group+"/"+version.Name, spec.Names.Kind, spec.Scope == "Namespaced")
		content, err := json.MarshalIndent(schema, "", "  ")
		if err != nil {
			return err
		}
		name := strings.ToLower(spec.Names.Kind) + "_" + version.Name + ".json"
		if err := os.WriteFile(filepath.Join(folder, name), append(content, '\n'), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// identify adds what the API server checks of every object, and a CRD does not contain.
func identify(schema map[string]any, apiVersion, kind string, namespaced bool) {
	properties := schema["properties"].(map[string]any)
	properties["apiVersion"].(map[string]any)["enum"] = []any{apiVersion}
	properties["kind"].(map[string]any)["enum"] = []any{kind}
	properties["metadata"] = metadata(namespaced)
	required, _ := schema["required"].([]any)
	for _, field := range []string{"metadata", "kind", "apiVersion"} {
		if !slices.Contains(required, any(field)) {
			required = append([]any{field}, required...)
		}
	}
	schema["required"] = required
}

// metadata returns the schema of ObjectMeta.
func metadata(namespaced bool) map[string]any {
	text := func(description string) map[string]any {
		return map[string]any{"type": "string", "description": description}
	}
	texts := func(description string) map[string]any {
		return map[string]any{"type": "object", "description": description, "additionalProperties": map[string]any{"type": "string"}}
	}
	number := map[string]any{"type": "integer"}
	time := map[string]any{"type": []any{"string", "null"}, "format": "date-time"}
	name := text("name is the name of the object.")
	name["maxLength"] = 253
	name["pattern"] = `^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`
	properties := map[string]any{
		"name": name, "generateName": text("generateName is the start of a name that the API server completes."),
		"labels":      texts("labels are the labels of the object."),
		"annotations": texts("annotations are the annotations of the object."),
		"finalizers":  map[string]any{"type": "array", "items": map[string]any{"type": "string"}},
		"ownerReferences": map[string]any{"type": "array", "items": map[string]any{
			"type": "object", "required": []any{"apiVersion", "kind", "name", "uid"}, "additionalProperties": false,
			"properties": map[string]any{
				"apiVersion": map[string]any{"type": "string"}, "kind": map[string]any{"type": "string"},
				"name": map[string]any{"type": "string"}, "uid": map[string]any{"type": "string"},
				"controller": map[string]any{"type": "boolean"}, "blockOwnerDeletion": map[string]any{"type": "boolean"},
			},
		}},
		"managedFields":   map[string]any{"type": "array", "items": map[string]any{"type": "object"}},
		"resourceVersion": map[string]any{"type": "string"}, "uid": map[string]any{"type": "string"},
		"selfLink": map[string]any{"type": "string"}, "generation": number, "deletionGracePeriodSeconds": number,
		"creationTimestamp": time, "deletionTimestamp": time,
	}
	if namespaced {
		properties["namespace"] = text("namespace is the namespace of the object.")
	}
	return map[string]any{
		"type": "object", "description": "metadata is the standard metadata of a Kubernetes object.",
		"properties": properties, "additionalProperties": false,
	}
}

// convert turns a structural schema of Kubernetes into a strict JSON schema.
func convert(in map[string]any) map[string]any {
	out := map[string]any{}
	for key, value := range in {
		switch key {
		case "properties":
			properties := map[string]any{}
			for name, property := range value.(map[string]any) {
				properties[name] = convert(property.(map[string]any))
			}
			out[key] = properties
		case "items":
			out[key] = convert(value.(map[string]any))
		case "additionalProperties":
			out[key] = value
			if values, ok := value.(map[string]any); ok {
				out[key] = convert(values)
			}
		case "format":
			if value == "date-time" {
				out[key] = value
			}
		case "nullable":
		default:
			if !strings.HasPrefix(key, "x-kubernetes-") {
				out[key] = value
			}
		}
	}
	tighten(in, out)
	return out
}

// tighten adds what Kubernetes expresses by its own keywords.
func tighten(in, out map[string]any) {
	_, hasProperties := out["properties"]
	_, hasValues := out["additionalProperties"]
	if open := in["x-kubernetes-preserve-unknown-fields"] == true; hasProperties && !hasValues && !open {
		out["additionalProperties"] = false
	}
	if in["x-kubernetes-list-type"] == "set" {
		out["uniqueItems"] = true
	}
	if kind, ok := out["type"].(string); ok && in["nullable"] == true {
		out["type"] = []any{kind, "null"}
	}
	rules, _ := in["x-kubernetes-validations"].([]any)
	for _, rule := range rules {
		text, _ := rule.(map[string]any)["rule"].(string)
		if pattern := patternOf(text); pattern != "" && out["pattern"] == nil && out["type"] == "string" {
			out["pattern"] = pattern
		}
	}
}

// matches is a rule that starts with a pattern for the whole text, and has no alternative to it.
var matches = regexp.MustCompile(`^self\.matches\('(\^[^']*\$)'\)(?: && [^|?]*)?$`)

// patternOf returns the pattern that a CEL rule requires, or nothing.
func patternOf(rule string) string {
	if m := matches.FindStringSubmatch(rule); m != nil {
		return strings.ReplaceAll(m[1], `\\`, `\`)
	}
	return ""
}
