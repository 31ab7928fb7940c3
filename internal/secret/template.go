// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package secret

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"text/template/parse"
)

const (
	// maxFunctions bounds the functions of one field, so that a short template cannot take much CPU time.
	maxFunctions = 4
	// maxOutput bounds the output of all templates of a Secret, in bytes. A Secret holds at most 1 MiB.
	maxOutput = 256 << 10
)

// Of Go templates, only text and fields with functions are valid. Without loops, branches and calls, each template terminates.
var (
	fields    = []string{fieldAccessKeyID, fieldAccessKeySecret, fieldSecurityToken, fieldExpiration, fieldRoleARN, fieldRegion}
	functions = map[string]any{
		"b64enc":   function{b64enc, b64dec},
		"toJson":   function{toJSON, fromJSON},
		"quote":    function{strconv.Quote, strconv.Unquote},
		"urlquery": function{url.QueryEscape, url.QueryUnescape},
	}
)

// function is a function of templates and its inverse.
type function struct {
	apply func(string) string
	undo  func(string) (string, error)
}

func b64enc(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

func b64dec(s string) (string, error) {
	raw, err := base64.StdEncoding.DecodeString(s)
	return string(raw), err
}

func toJSON(s string) string {
	raw, _ := json.Marshal(s) // of a string, it cannot fail
	return string(raw)
}

func fromJSON(document string) (s string, err error) {
	err = json.Unmarshal([]byte(document), &s)
	return s, err
}

// text is a template: its parts in order.
type text []part

// part is literal text or, if it has one, a field that goes through functions.
type part struct {
	literal   string
	field     string
	functions []function
}

// errTooLong is returned if the output of the templates exceeds maxOutput.
var errTooLong = fmt.Errorf("the output is too long. All templates together may write %d KiB", maxOutput>>10)

// execute returns the output of the template, of at most the given number of bytes.
func (t text) execute(v values, most int) (string, error) {
	var out strings.Builder
	for _, p := range t {
		s := p.literal + v[p.field]
		for _, f := range p.functions {
			if len(s) > most {
				return "", errTooLong
			}
			s = f.apply(s)
		}
		if out.Len()+len(s) > most {
			return "", errTooLong
		}
		out.WriteString(s)
	}
	return out.String(), nil
}

// parseText parses a template with these fields. Its errors contain the line number only, because the text may be confidential.
func parseText(source string, fields []string) (text, error) {
	trees := map[string]*parse.Tree{}
	tree, err := parse.New("").Parse(source, "", "", trees, functions)
	if err != nil {
		return nil, refusedIn(lineOf(err))
	}
	if len(trees) != 1 || trees[""] != tree {
		return nil, errors.New("defines another template. Write its text where it is used")
	}
	var t text
	for _, node := range tree.Root.Nodes {
		p, ok := partOf(node)
		if !ok || p.field != "" && !slices.Contains(fields, p.field) {
			return nil, refusedIn(1 + strings.Count(source[:node.Position()], "\n"))
		}
		t = append(t, p)
	}
	return t, nil
}

// refusedIn returns the error of a template that is malformed, or contains more than text and fields.
func refusedIn(line int) error {
	return fmt.Errorf("line %d: write text and fields such as {{ .SecurityToken | toJson }} only; the fields are .%s, "+
		"the functions b64enc, toJson, quote and urlquery, at most %d after a field", line, strings.Join(fields, ", ."), maxFunctions)
}

// lineOf returns the line that a parser's error names.
func lineOf(err error) int {
	line := 1
	if m := parseErrors.FindStringSubmatch(err.Error()); m != nil {
		line, _ = strconv.Atoi(m[1])
	}
	return line
}

var parseErrors = regexp.MustCompile(`^template: :([0-9]{1,5})`)

func partOf(node parse.Node) (part, bool) {
	switch n := node.(type) {
	case *parse.TextNode:
		return part{literal: string(n.Text)}, true
	case *parse.ActionNode:
		return partOfPipe(n.Pipe)
	}
	return part{}, false
}

// partOfPipe parses {{ .Field | function | ... }} and its shorter form {{ function .Field | ... }}.
func partOfPipe(pipe *parse.PipeNode) (p part, ok bool) {
	if len(pipe.Decl) > 0 {
		return part{}, false
	}
	for i, command := range pipe.Cmds {
		arguments := command.Args
		if i == 0 {
			field, ok := arguments[len(arguments)-1].(*parse.FieldNode)
			if !ok || len(field.Ident) != 1 {
				return part{}, false
			}
			p.field, arguments = field.Ident[0], arguments[:len(arguments)-1]
			if len(arguments) == 0 {
				continue
			}
		}
		name, ok := arguments[0].(*parse.IdentifierNode)
		if !ok || len(arguments) != 1 {
			return part{}, false
		}
		p.functions = append(p.functions, functions[name.Ident].(function))
	}
	return p, len(p.functions) <= maxFunctions
}
