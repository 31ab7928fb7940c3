// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command chartdocs carries the comments of a chart's values.yaml ("# -- what it is") into the descriptions of its
// values.schema.json and the table in its README.md. It fails where a value has no comment, or the values and the
// schema do not name the same things. Only the schema has deprecated values.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"
)

const (
	mark  = "# -- "
	begin = "<!-- values: generated from values.yaml by make generate -->\n"
	end   = "<!-- end of values -->\n"
)

func main() {
	if err := generate(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "chartdocs:", err)
		os.Exit(1)
	}
}

func generate(chart string) error {
	file := func(name string) string { return filepath.Join(chart, name) }
	document, err := os.ReadFile(file("values.yaml"))
	if err != nil {
		return err
	}
	var root yaml.Node
	if err := yaml.Unmarshal(document, &root); err != nil {
		return err
	}
	if document, err = os.ReadFile(file("values.schema.json")); err != nil {
		return err
	}
	var schema map[string]any
	if err := json.Unmarshal(document, &schema); err != nil {
		return err
	}
	rows, err := walk("", root.Content[0], schema)
	if err != nil {
		return err
	}
	described := &bytes.Buffer{}
	encoder := json.NewEncoder(described)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(schema); err != nil {
		return err
	}
	if document, err = os.ReadFile(file("README.md")); err != nil {
		return err
	}
	head, rest, ok := strings.Cut(string(document), begin)
	_, tail, found := strings.Cut(rest, end)
	if !ok || !found {
		return fmt.Errorf("README.md lacks the lines %q and %q", strings.TrimSpace(begin), strings.TrimSpace(end))
	}
	table := "\n| value | what | default |\n|---|---|---|\n" + strings.Join(rows, "") + "\n"
	return errors.Join(
		os.WriteFile(file("values.schema.json"), described.Bytes(), 0o644),
		os.WriteFile(file("README.md"), []byte(head+begin+table+end+tail), 0o644),
	)
}

// walk sets the descriptions in the schema of a mapping, and returns the rows of the table for it.
func walk(path string, mapping *yaml.Node, schema map[string]any) (rows []string, err error) {
	properties, _ := schema["properties"].(map[string]any)
	surplus := maps.Clone(properties)
	for i := 0; i < len(mapping.Content); i += 2 {
		key, node := mapping.Content[i], mapping.Content[i+1]
		name := path + key.Value
		property, ok := properties[key.Value].(map[string]any)
		if !ok {
			return nil, fmt.Errorf("values.schema.json has no %s", name)
		}
		delete(surplus, key.Value)
		comment := key.HeadComment[strings.LastIndex(key.HeadComment, "\n")+1:]
		if description, ok := strings.CutPrefix(comment, mark); ok {
			property["description"] = description
			row, err := row(name, description, node)
			if err != nil {
				return nil, err
			}
			rows = append(rows, row)
			continue
		}
		if node.Kind != yaml.MappingNode || len(node.Content) == 0 {
			return nil, fmt.Errorf("values.yaml: %s has no comment that starts with %q", name, mark)
		}
		below, err := walk(name+".", node, property)
		if err != nil {
			return nil, err
		}
		rows = append(rows, below...)
	}
	for key, property := range surplus {
		if property, _ := property.(map[string]any); property["deprecated"] != true {
			return nil, fmt.Errorf("values.schema.json has %s, which values.yaml lacks", path+key)
		}
	}
	return rows, nil
}

// row writes a value, with its default on one line.
func row(name, description string, node *yaml.Node) (string, error) {
	var decoded any
	if err := node.Decode(&decoded); err != nil {
		return "", err
	}
	byDefault, err := json.Marshal(decoded)
	escape := strings.NewReplacer("|", `\|`)
	return fmt.Sprintf("| `%s` | %s | `%s` |\n", name, escape.Replace(description), escape.Replace(string(byDefault))), err
}
