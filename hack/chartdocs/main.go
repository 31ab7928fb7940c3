// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command chartdocs carries the comments of a chart's values.yaml ("# -- what it is") into the descriptions of its
// values.schema.json and the table in its README.md. It fails where a value has no comment, or the values and the
// schema do not name the same things.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
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

// value is one that has a comment of its own.
type value struct {
	path        []string
	description string
	byDefault   string
}

func main() {
	if err := generate(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "chartdocs:", err)
		os.Exit(1)
	}
}

func generate(chart string) error {
	document, err := os.ReadFile(filepath.Join(chart, "values.yaml"))
	if err != nil {
		return err
	}
	var root yaml.Node
	if err := yaml.Unmarshal(document, &root); err != nil {
		return err
	}
	values, err := collect(nil, root.Content[0])
	if err != nil {
		return err
	}
	return errors.Join(
		edit(filepath.Join(chart, "values.schema.json"), func(b []byte) ([]byte, error) { return describe(b, values) }),
		edit(filepath.Join(chart, "README.md"), func(b []byte) ([]byte, error) { return tabulate(b, values) }),
	)
}

func edit(path string, change func([]byte) ([]byte, error)) error {
	before, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	after, err := change(before)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return os.WriteFile(path, after, 0o644)
}

// collect finds the values below a mapping.
func collect(path []string, mapping *yaml.Node) (values []value, err error) {
	for i := 0; i < len(mapping.Content); i += 2 {
		key, node := mapping.Content[i], mapping.Content[i+1]
		here := append(path[:len(path):len(path)], key.Value)
		comment := key.HeadComment[strings.LastIndex(key.HeadComment, "\n")+1:]
		if description, ok := strings.CutPrefix(comment, mark); ok {
			byDefault, err := inline(node)
			if err != nil {
				return nil, err
			}
			values = append(values, value{here, description, byDefault})
			continue
		}
		if node.Kind != yaml.MappingNode || len(node.Content) == 0 {
			return nil, fmt.Errorf("values.yaml: %s has no comment that starts with %q", strings.Join(here, "."), mark)
		}
		below, err := collect(here, node)
		if err != nil {
			return nil, err
		}
		values = append(values, below...)
	}
	return values, nil
}

// inline writes a value on one line.
func inline(node *yaml.Node) (string, error) {
	var decoded any
	if err := node.Decode(&decoded); err != nil {
		return "", err
	}
	out, err := json.Marshal(decoded)
	return string(out), err
}

// describe sets the schema's descriptions.
func describe(document []byte, values []value) ([]byte, error) {
	var schema map[string]any
	if err := json.Unmarshal(document, &schema); err != nil {
		return nil, err
	}
	known := map[string]bool{"global": true}
	for _, v := range values {
		node := schema
		for i, key := range v.path {
			properties, _ := node["properties"].(map[string]any)
			next, ok := properties[key].(map[string]any)
			if !ok {
				return nil, fmt.Errorf("has no %s", strings.Join(v.path[:i+1], "."))
			}
			known[strings.Join(v.path[:i+1], ".")] = true
			node = next
		}
		node["description"] = v.description
		known[strings.Join(v.path, ".")+"."] = true // what is below it is its own affair
	}
	if err := surplus(nil, schema, known); err != nil {
		return nil, err
	}
	out := &bytes.Buffer{}
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	err := encoder.Encode(schema)
	return out.Bytes(), err
}

// surplus finds what the schema has and the values lack.
func surplus(path []string, node map[string]any, known map[string]bool) error {
	properties, _ := node["properties"].(map[string]any)
	for key, below := range properties {
		here := append(path[:len(path):len(path)], key)
		name := strings.Join(here, ".")
		if !known[name] {
			return fmt.Errorf("has %s, which values.yaml lacks", name)
		}
		if known[name+"."] {
			continue
		}
		if err := surplus(here, below.(map[string]any), known); err != nil {
			return err
		}
	}
	return nil
}

// tabulate writes the README's table.
func tabulate(document []byte, values []value) ([]byte, error) {
	head, rest, ok := strings.Cut(string(document), begin)
	_, tail, found := strings.Cut(rest, end)
	if !ok || !found {
		return nil, fmt.Errorf("lacks the lines %q and %q", strings.TrimSpace(begin), strings.TrimSpace(end))
	}
	table := &strings.Builder{}
	table.WriteString("\n| value | what | default |\n|---|---|---|\n")
	for _, v := range values {
		fmt.Fprintf(table, "| `%s` | %s | `%s` |\n", strings.Join(v.path, "."), strings.ReplaceAll(v.description, "|", `\|`), strings.ReplaceAll(v.byDefault, "|", `\|`))
	}
	return []byte(head + begin + table.String() + "\n" + end + tail), nil
}
