// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package formats

import (
	"context"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stscredential/sts-credential-operator/test/stsemulator"
)

// emulatorPage is docs/emulator.md, with an emulator that knows what its image knows at the start.
type emulatorPage struct {
	*testing.T
	emulator *stsemulator.Emulator
	sts      *httptest.Server
	admin    *httptest.Server
}

func newEmulatorPage(t *testing.T) *emulatorPage {
	t.Helper()
	page := &emulatorPage{T: t, emulator: stsemulator.New(stsemulator.Options{})}
	seed, err := os.ReadFile(filepath.Join("..", "stsemulator", "cmd", "stsemulator", "seed.yaml"))
	page.must(err)
	page.must(page.emulator.Load(seed))
	page.sts, page.admin = httptest.NewServer(page.emulator), httptest.NewServer(page.emulator.Admin())
	t.Cleanup(page.sts.Close)
	t.Cleanup(page.admin.Close)
	return page
}

func (p *emulatorPage) must(err error) {
	p.Helper()
	if err != nil {
		p.Fatal(err)
	}
}

// block returns the block that names this test as the one that runs it, with the addresses of the test's emulator.
func (p *emulatorPage) block() string {
	p.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "emulator.md"))
	p.must(err)
	blocks := regexp.MustCompile("(?s)<!-- run: "+p.Name()+" -->\n```\\w+\n(.*?)```\n").FindAllSubmatch(text, -1)
	if len(blocks) != 1 {
		p.Fatalf("docs/emulator.md has %d blocks that %s runs, want one", len(blocks), p.Name())
	}
	addresses := strings.NewReplacer(
		"127.0.0.1:8480", strings.TrimPrefix(p.sts.URL, "http://"), "127.0.0.1:8481", strings.TrimPrefix(p.admin.URL, "http://"))
	return addresses.Replace(string(blocks[0][1]))
}

// wantCalls runs the page's program, by a command that takes its file as the last argument, and insists on its two calls.
func (p *emulatorPage) wantCalls(file string, command ...string) {
	p.Helper()
	file = filepath.Join(p.TempDir(), file)
	p.must(os.WriteFile(file, []byte(p.block()), 0o600))
	ctx, cancel := context.WithTimeout(p.Context(), 3*time.Minute)
	defer cancel()
	program := exec.CommandContext(ctx, command[0], append(command[1:], file)...)
	output, err := program.CombinedOutput()
	const want = "acs:ram::1234567890123456:assumed-role/tests/orders"
	if err != nil || !strings.Contains(string(output), want+"\n") {
		p.Errorf("the program prints %q and ends with %v, want %s", output, err, want)
	}
	var actions []string
	for _, call := range p.emulator.Calls() {
		actions = append(actions, call.Action)
		if call.Code != "" {
			p.Errorf("%s fails with %s", call.Action, call.Code)
		}
	}
	if got := strings.Join(actions, " "); got != "AssumeRole GetCallerIdentity" {
		p.Errorf("the program calls %s", got)
	}
}

func TestEmulatorPageGo(t *testing.T) {
	newEmulatorPage(t).wantCalls("main.go", "go", "run")
}

func TestEmulatorPageJava(t *testing.T) {
	jars, _ := filepath.Glob(filepath.Join("java", "target", "lib", "*.jar"))
	newEmulatorPage(t).wantCalls("Emulator.java", "java", "-XX:TieredStopAtLevel=1", "-cp", strings.Join(jars, string(filepath.ListSeparator)))
}

func TestEmulatorPageNode(t *testing.T) {
	modules, err := filepath.Abs(filepath.Join("node", "node_modules"))
	if err != nil || !exists(modules) {
		t.Fatal("the npm packages are not installed: run make test-formats")
	}
	t.Setenv("NODE_PATH", modules)
	newEmulatorPage(t).wantCalls("emulator.js", "node")
}

func TestEmulatorPagePython(t *testing.T) {
	newEmulatorPage(t).wantCalls("emulator.py", filepath.Join("python", "venv", "bin", "python"))
}

func TestEmulatorPageSeed(t *testing.T) {
	page := newEmulatorPage(t)
	page.must(page.emulator.Load([]byte(page.block())))
}

func TestEmulatorPageAdmin(t *testing.T) {
	page := newEmulatorPage(t)
	commands := strings.Split(strings.TrimSpace(page.block()), "\n")
	for i, faults := range []int{1, 1, 0} {
		output, err := exec.CommandContext(t.Context(), "sh", "-c", commands[i]+" --silent --show-error --fail").CombinedOutput()
		if got := len(page.emulator.Faults()); err != nil || got != faults {
			t.Errorf("after %s: %v, %s and %d faults, want %d", commands[i], err, output, got, faults)
		}
	}
}
