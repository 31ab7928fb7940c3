// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package docs reads the project's Markdown as its tests need it: the blocks with the comments that say where each is
// run, the headings and the links. A block is run by one of:
//
//	<!-- run: cluster -->             test/docs, on a local control plane with the operator and an emulated STS.
//	                                  Commands are run, manifests applied, in the order of the page.
//	<!-- run: cluster: COMMAND -->    the same, but by this command with the block as its input.
//	<!-- run: e2e -->                 test/e2e, on a real node, where its test plays the page.
//	<!-- run: .ci/run -->             .ci/run, which has the same make targets.
//	<!-- run: TestName -->            a test of that name, which reads the page.
//	<!-- not run: REASON -->          nobody, for a reason of a short list (test/docs/docs_test.go).
//
// A comment "before: COMMANDS" is a block that readers do not see: what has to be there for the next ones, on the cluster of
// test/docs. "before in PLACE: COMMANDS" is one for another place.
package docs

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/text"
)

// Block is a fenced block, or commands in a comment.
type Block struct {
	Page     string // its path from the repository's root
	Line     int    // where its text begins
	Language string // as the fence says; "sh" for commands in a comment
	Text     string
	Run      string // where it is run: cluster, e2e, .ci/run, TestName; empty if it is not
	Command  string // what takes the text as its input, if the comment names it
	NotRun   string // why it is not run
}

// Page is a Markdown file.
type Page struct {
	Path    string // from the repository's root
	Text    string
	Blocks  []Block
	Links   []string
	Anchors map[string]bool // what can stand behind '#'
	Code    []string        // inline code
}

// before finds in a comment where commands are run, and the commands.
var before = regexp.MustCompile(`(?s)\Abefore(?: in (\S+))?:(.*)\z`)

// Read reads the page at a path from the repository's root.
func Read(root, path string) (*Page, error) {
	source, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		return nil, err
	}
	page := &Page{Path: path, Text: string(source), Anchors: map[string]bool{}}
	document := goldmark.New(goldmark.WithExtensions(extension.GFM)).Parser().Parse(text.NewReader(source))
	return page, ast.Walk(document, func(node ast.Node, entering bool) (ast.WalkStatus, error) {
		if entering {
			page.take(node, source)
		}
		return ast.WalkContinue, nil
	})
}

// take adds what a node says.
func (p *Page) take(node ast.Node, source []byte) {
	switch n := node.(type) {
	case *ast.Link:
		p.Links = append(p.Links, string(n.Destination))
	case *ast.Image:
		p.Links = append(p.Links, string(n.Destination))
	case *ast.AutoLink:
		p.Links = append(p.Links, string(n.URL(source)))
	case *ast.CodeSpan:
		p.Code = append(p.Code, inline(n, source))
	case *ast.Heading:
		p.addAnchor(inline(n, source))
	case *ast.HTMLBlock:
		if m := before.FindStringSubmatch(comment(n, source)); m != nil {
			b := Block{Page: p.Path, Line: lineOf(n, source), Language: "sh", Text: m[2], Run: "cluster"}
			if m[1] != "" {
				b.Run = m[1]
			}
			p.Blocks = append(p.Blocks, b)
		}
	case *ast.FencedCodeBlock:
		p.Blocks = append(p.Blocks, p.block(n, source))
	}
}

// Play runs the blocks that are to be run in a place, and what has to be there before them, in the page's order.
func (p *Page) Play(ctx context.Context, shell Shell, place string) error {
	played := 0
	for _, b := range p.Blocks {
		if b.Run != place {
			continue
		}
		played++
		if err := shell.Run(ctx, b); err != nil {
			return err
		}
	}
	if played == 0 {
		return fmt.Errorf("%s has nothing to run in %s", p.Path, place)
	}
	return nil
}

func (p *Page) block(n *ast.FencedCodeBlock, source []byte) Block {
	b := Block{Page: p.Path, Line: lineOf(n, source), Language: string(n.Language(source)), Text: string(n.Lines().Value(source))}
	said, ok := n.PreviousSibling().(*ast.HTMLBlock)
	if !ok {
		return b
	}
	marker := comment(said, source)
	if where, ok := strings.CutPrefix(marker, "run:"); ok {
		where, command, _ := strings.Cut(where, ":")
		b.Run, b.Command = strings.TrimSpace(where), strings.TrimSpace(command)
	}
	if why, ok := strings.CutPrefix(marker, "not run:"); ok {
		b.NotRun = strings.TrimSpace(why)
	}
	return b
}

// comment is the text of an HTML comment.
func comment(n *ast.HTMLBlock, source []byte) string {
	all := n.Lines().Value(source)
	if n.HasClosure() {
		all = append(all, n.ClosureLine.Value(source)...)
	}
	inside, ok := strings.CutPrefix(strings.TrimSpace(string(all)), "<!--")
	if !ok {
		return ""
	}
	inside, _, _ = strings.Cut(inside, "-->")
	return strings.TrimSpace(inside)
}

func lineOf(n ast.Node, source []byte) int {
	if n.Lines().Len() == 0 {
		return 0
	}
	return 1 + bytes.Count(source[:n.Lines().At(0).Start], []byte("\n"))
}

// inline is the text of a node without its markup.
func inline(n ast.Node, source []byte) string {
	var b strings.Builder
	for child := n.FirstChild(); child != nil; child = child.NextSibling() {
		if leaf, ok := child.(*ast.Text); ok {
			b.Write(leaf.Value(source))
			continue
		}
		b.WriteString(inline(child, source))
	}
	return b.String()
}

// addAnchor adds a heading's anchor as GitHub names it.
func (p *Page) addAnchor(heading string) {
	name := regexp.MustCompile(`[^\p{L}\p{N} _-]`).ReplaceAllString(strings.ToLower(heading), "")
	p.Anchors[strings.ReplaceAll(name, " ", "-")] = true
}
