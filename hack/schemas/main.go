// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command schemas writes a JSON schema for each version of each CRD, for editors and kubeconform, which do not ask the API
// server. The schemas are strict: they refuse unknown fields, as kubectl does. CEL rules have no equivalent in a JSON schema,
// except those that match a text against a pattern.
//
// usage: schemas FOLDER CRD...
package main

import (
	_ "embed"
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
		if err := identify(schema, spec.Group+"/"+version.Name, spec.Names.Kind, spec.Scope == "Namespaced"); err != nil {
			return err
		}
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

// objectMeta is the schema of ObjectMeta, of which a CRD contains only the type.
//
//go:embed metadata.json
var objectMeta []byte

// identify adds what the API server checks of every object, and a CRD does not contain.
func identify(schema map[string]any, apiVersion, kind string, namespaced bool) error {
	var metadata map[string]any
	if err := json.Unmarshal(objectMeta, &metadata); err != nil {
		return err
	}
	if !namespaced {
		delete(metadata["properties"].(map[string]any), "namespace")
	}
	properties := schema["properties"].(map[string]any)
	properties["apiVersion"].(map[string]any)["enum"] = []any{apiVersion}
	properties["kind"].(map[string]any)["enum"] = []any{kind}
	properties["metadata"] = metadata
	required, _ := schema["required"].([]any)
	for _, field := range []string{"metadata", "kind", "apiVersion"} {
		if !slices.Contains(required, any(field)) {
			required = append([]any{field}, required...)
		}
	}
	schema["required"] = required
	return nil
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
