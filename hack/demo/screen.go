// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
)

// The looks of a line, as terminals know them.
const (
	bold  = "1"
	dim   = "2"
	red   = "31"
	green = "32"
	cyan  = "36"
)

// screen is where the demo tells what it does.
type screen struct {
	out    io.Writer
	colour bool
}

// newScreen writes to a file, in colour if it is a terminal and NO_COLOR is not set.
func newScreen(file *os.File) *screen {
	return &screen{out: file, colour: isTerminal(file) && os.Getenv("NO_COLOR") == ""}
}

// title begins a part of the demo.
func (s *screen) title(format string, args ...any) { s.say("\n"+s.paint(bold, format), args...) }

// command shows what a user would type.
func (s *screen) command(line string) { s.say("%s", s.paint(cyan, "  $ "+line)) }

// output shows what a command printed.
func (s *screen) output(text string) {
	if text = strings.TrimRight(text, "\n"); text != "" {
		s.say("%s", indent(text, "    "))
	}
}

// note tells something by the way.
func (s *screen) note(format string, args ...any) { s.say(s.paint(dim, "  "+format), args...) }

// ok tells what was checked and is as it should be.
func (s *screen) ok(format string, args ...any) { s.say(s.paint(green, "  ✓ ")+format, args...) }

// fail tells what is not.
func (s *screen) fail(format string, args ...any) { s.say(s.paint(red, "  ✗ ")+format, args...) }

func (s *screen) say(format string, args ...any) {
	// Nobody reads any more: SIGPIPE tells, see run.
	_, _ = fmt.Fprintf(s.out, format+"\n", args...)
}

func (s *screen) paint(look, text string) string {
	if !s.colour {
		return text
	}
	return "\x1b[" + look + "m" + text + "\x1b[0m"
}

// Write takes the progress of what takes long, whole lines at a time.
func (s *screen) Write(p []byte) (int, error) {
	s.note("%s", strings.TrimRight(string(p), "\n"))
	return len(p), nil
}

func indent(text, by string) string {
	return by + strings.ReplaceAll(text, "\n", "\n"+by)
}

// lastLines is the end of a text.
func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// plain are the words that a shell takes as they are.
var plain = regexp.MustCompile(`^[A-Za-z0-9%+,./:=@_-]+$`)

// shell is a command as it would be typed.
func shell(words ...string) string {
	quoted := make([]string, len(words))
	for i, word := range words {
		quoted[i] = word
		if !plain.MatchString(word) {
			quoted[i] = "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
		}
	}
	return strings.Join(quoted, " ")
}
