// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// maxSize is the largest size of the program, in bytes: it is started in many pods.
const maxSize = 10_000_000

// build builds the program as `make build` does.
func build(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "stscred-agent")
	command := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-ldflags", "-s -w -X main.version=v1.2.3 -X main.commit=abc", "-o", program, ".")
	command.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	return program
}

// The agent links nothing but the standard library.
func TestDependencies(t *testing.T) {
	output, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	allowed := regexp.MustCompile(`^github\.com/stscredential/sts-credential-operator/(cmd|internal)/agent$`)
	for _, path := range strings.Fields(string(output)) {
		if !allowed.MatchString(path) {
			t.Errorf("the agent links %s", path)
		}
	}
}

// The program, as it is started in a pod: by its environment alone.
func TestProgram(t *testing.T) {
	program, dir := build(t), t.TempDir()
	if info, err := os.Stat(program); err != nil || info.Size() > maxSize {
		t.Errorf("the program has %d bytes, want at most %d (%v)", info.Size(), maxSize, err)
	}
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	_ = listener.Close()
	command := func(arguments ...string) (*exec.Cmd, *bytes.Buffer) {
		cmd, out := exec.CommandContext(t.Context(), program, arguments...), &bytes.Buffer{}
		cmd.Stdout, cmd.Stderr = out, out
		cmd.Env = []string{"STSCRED_DIR=" + dir, "STSCRED_LISTEN=" + address, "STSCRED_TOKEN=11111111-2222-3333-4444-555555555555"}
		return cmd, out
	}
	agent, log := command()
	if err := agent.Start(); err != nil {
		t.Fatal(err)
	}
	// Until there are credentials, the probe fails and says for what the pod waits.
	probe := func(want string) {
		t.Helper()
		var last string
		for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
			check, out := command("check")
			err := check.Run()
			if last = out.String(); (err == nil) == (want == "") && strings.Contains(last, want) && strings.Count(last, "\n") <= 1 {
				return
			}
		}
		t.Fatalf("check says %q, want %q", last, want)
	}
	probe("stscred-agent: credentials.json is missing in " + dir + ". Add URI to spec.secret.formats")
	content := fmt.Sprintf(`{"Code":"Success","AccessKeyId":"STS.n","AccessKeySecret":"s","SecurityToken":"t","Expiration":%q}`,
		time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
	if err := os.WriteFile(filepath.Join(dir, "credentials.json"), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	probe("")
	response, err := http.Get("http://" + address + "/v1/11111111-2222-3333-4444-555555555555/credentials") //nolint:noctx // of a test
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Errorf("status %d", response.StatusCode)
	}
	if err := agent.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := agent.Wait(); err != nil {
		t.Errorf("the agent ends with %v: %s", err, log)
	}
	probe("stscred-agent: no agent answers on " + address)
}

func TestRun(t *testing.T) {
	environment := map[string]string{"STSCRED_TOKEN": "11111111-2222-3333-4444-555555555555", "STSCRED_LISTEN": "0.0.0.0:1", "STSCRED_DIR": "/none"}
	for _, tt := range []struct {
		name      string
		arguments []string
		env       map[string]string
		out, err  string
	}{
		{"version", []string{"version"}, nil, "stscred-agent dev, commit unknown, go", ""},
		{"help", []string{"--help"}, environment, "Usage: stscred-agent [serve|check|version] [flags]", "help requested"},
		{"nothing set", nil, nil, "", "no token. Set STSCRED_TOKEN to the pod's UID"},
		{"an environment that is refused", []string{"serve"}, environment, "", "STSCRED_LISTEN 0.0.0.0:1 is not a loopback address"},
		{"a flag before the environment", []string{"--listen=10.0.0.1:1"}, environment, "", "STSCRED_LISTEN 10.0.0.1:1 is not a loopback address"},
		{"a flag that is refused", []string{"check", "--token=short"}, environment, "", "STSCRED_TOKEN must be 16 to 128"},
		{"no such command", []string{"server"}, nil, "", `unknown command "server". Write serve, check or version`},
		{"no such flag", []string{"serve", "--port=1"}, nil, "Usage", "flag provided but not defined"},
		{"an argument too many", []string{"serve", "x"}, nil, "", `unexpected argument "x"`},
	} {
		var out bytes.Buffer
		err := run(t.Context(), tt.arguments, func(name string) string { return tt.env[name] }, &out, &out)
		if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) || !strings.Contains(out.String(), tt.out) {
			t.Errorf("%s: %v, %q", tt.name, err, out.String())
		}
		if strings.Contains(out.String(), "11111111") {
			t.Errorf("%s: the token is printed: %s", tt.name, out.String())
		}
	}
}
