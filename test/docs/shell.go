// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// patience is how long a look (get, describe, logs) may take to show what the page says it shows, if a Shell has no other.
const patience = 30 * time.Second

// Shell runs blocks as a reader would who pastes them, one after another, in bash.
type Shell struct {
	Dir string   // where it stands, and where files of the page are written
	Env []string // such as PATH and KUBECONFIG
	// Change, if set, is what a test has to change in a command or a file. It should be next to nothing.
	Change func(string) string
	// Patience is how long a look may take. 0 stands for half a minute.
	Patience time.Duration
}

// Scratch makes an empty folder look like the repository's root, whose pages may write files into it.
func Scratch(root, folder string) error {
	root, err := filepath.Abs(root)
	if err != nil {
		return err
	}
	entries, err := os.ReadDir(root)
	for _, entry := range entries {
		err = errors.Join(err, os.Symlink(filepath.Join(root, entry.Name()), filepath.Join(folder, entry.Name())))
	}
	return err
}

// Run runs a block's commands, or applies what it holds. Errors say what was run and what it printed.
func (s Shell) Run(ctx context.Context, b Block) error {
	if s.Change != nil {
		b.Text = s.Change(b.Text)
	}
	if err := s.run(ctx, b); err != nil {
		return fmt.Errorf("%s:%d: %w", b.Page, b.Line, err)
	}
	return nil
}

func (s Shell) run(ctx context.Context, b Block) error {
	file := FileOf(b)
	switch {
	case file != "":
		return os.WriteFile(filepath.Join(s.Dir, file), []byte(b.Text), 0o600)
	case b.Command != "":
		return s.expect(ctx, b.Command, b.Text, nil)
	case b.Language == "yaml":
		return s.expect(ctx, "kubectl apply --validate=strict -f -", b.Text, nil)
	case b.Language == "sh":
		return s.expect(ctx, b.Text, "", nil)
	case b.Language == "console":
		for _, c := range Commands(b.Text) {
			if err := s.expect(ctx, c.Line, "", c.Output); err != nil {
				return err
			}
		}
		return nil
	}
	return fmt.Errorf("a block of language %q cannot be run: write sh, console or yaml", b.Language)
}

// FileOf is the file that a block is to be written to: the one that a comment in its first line names.
func FileOf(b Block) string {
	m := regexp.MustCompile(`^# ([a-z][a-z0-9-]*\.(?:yaml|json))\n`).FindStringSubmatch(b.Text)
	if m == nil {
		return ""
	}
	return m[1]
}

// Command is what a console block shows behind a prompt, and what it prints; nil if the block does not say.
type Command struct {
	Line   string
	Output []string
}

// Commands takes a console block apart. A prompt is "$ "; a command goes on while its lines end in a backslash.
func Commands(console string) (commands []Command) {
	continued := false
	for _, line := range strings.Split(strings.TrimRight(console, "\n"), "\n") {
		last := len(commands) - 1
		switch {
		case continued:
			commands[last].Line += "\n" + line
		case strings.HasPrefix(line, "$ "):
			commands = append(commands, Command{Line: line[len("$ "):]})
		case last >= 0:
			commands[last].Output = append(commands[last].Output, line)
			continue
		default: // output of nothing
			commands = append(commands, Command{Line: "false # no prompt before: " + line})
		}
		continued = strings.HasSuffix(line, `\`)
	}
	return commands
}

// looking are commands that may show an earlier state at first, and that change nothing when they are repeated.
var looking = regexp.MustCompile(`\b(get|describe|logs)\b`)

// expect runs a line until it succeeds and prints what is wanted.
func (s Shell) expect(ctx context.Context, line, input string, want []string) error {
	deadline := time.Now().Add(cmp.Or(s.Patience, patience))
	for {
		output, err := s.bash(ctx, line, input)
		switch {
		case err == nil && (want == nil || Shows(output, want)):
			return nil
		case ctx.Err() == nil && want != nil && looking.MatchString(line) && time.Now().Before(deadline):
			time.Sleep(200 * time.Millisecond)
			continue
		case err != nil:
			return fmt.Errorf("$ %s\n%w\n%s", line, err, output)
		}
		return fmt.Errorf("$ %s\nprints\n%s\nand not, as the page says,\n%s", line, output, strings.Join(want, "\n"))
	}
}

func (s Shell) bash(ctx context.Context, line, input string) (string, error) {
	cmd := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", line)
	cmd.Dir, cmd.Env, cmd.Stdin = s.Dir, s.Env, strings.NewReader(input)
	output, err := cmd.CombinedOutput()
	return string(output), err
}

// varying is what differs from one run to the next, and what stands for it in a regular expression. The first one is
// what a page may leave out.
var varying = []struct{ page, pattern string }{
	{`…`, `.*`},
	{`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z`, `\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z`},
	{`[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}`, `[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}`},
	{`STS\.[A-Za-z0-9]+`, `STS\.[A-Za-z0-9]+`},
	{`\b\d+(?:ms|s|m|h)\b`, `(?:\d+(?:\.\d+)?(?:ms|[smhd]))+`},
}

// Shows reports whether a command printed the lines that a page shows. Times, ages, IDs of requests and of AccessKeys may
// differ, "…" stands for anything within a line, a line of "…" for any lines, and white space for white space.
func Shows(output string, want []string) bool {
	lines := make([]string, len(want))
	for i, line := range want {
		lines[i] = pattern(strings.TrimSpace(line)) + `\s*`
		if strings.TrimSpace(line) == "…" {
			lines[i] = `(?:.*\n)*?`
		}
	}
	return regexp.MustCompile(`(?m)\A\s*` + strings.Join(lines, "^[ \t]*") + `\z`).MatchString(output)
}

// pattern is a regular expression for a line of a page.
func pattern(line string) string {
	for _, v := range varying {
		if at := regexp.MustCompile(v.page).FindStringIndex(line); at != nil {
			return pattern(line[:at[0]]) + v.pattern + pattern(line[at[1]:])
		}
	}
	return regexp.MustCompile(`\s+`).ReplaceAllString(regexp.QuoteMeta(line), `\s+`)
}
