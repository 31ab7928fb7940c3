// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package image checks the built images: `make image-check` and `make emulator-check`.
package image

import (
	"bytes"
	"debug/buildinfo"
	"debug/elf"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// Bounds of the image and of the agent, in bytes.
const maxSize, maxAgent = 60_000_000, 10_000_000

func TestConfig(t *testing.T) {
	image := readArchive(t)
	config := image.config.Config
	if image.size >= maxSize {
		t.Errorf("the image has %d bytes, want less than %d", image.size, maxSize)
	}
	t.Logf("%.1f MB, %s/%s", float64(image.size)/1e6, image.config.OS, image.config.Architecture)
	if image.config.OS != "linux" || config.User != "65532:65532" ||
		!slices.Equal(config.Entrypoint, []string{"/manager"}) || len(config.Cmd) > 0 {
		t.Errorf("OS %q, user %q, entry point %q, command %q", image.config.OS, config.User, config.Entrypoint, config.Cmd)
	}
	for _, env := range config.Env {
		if name, _, _ := strings.Cut(env, "="); name != "PATH" && name != "SSL_CERT_FILE" {
			t.Errorf("the image sets %s", env)
		}
	}
	for label, pattern := range map[string]string{
		"title":       `^sts-credential-operator$`,
		"description": `.`,
		"source":      `^https://github\.com/stscredential/sts-credential-operator$`,
		"licenses":    `^Apache-2\.0$`,
		"version":     "^" + regexp.QuoteMeta(os.Getenv("VERSION")) + "$",
		"revision":    `^[0-9a-f]{40}$`,
		"created":     `.`,
	} {
		if got := config.Labels["org.opencontainers.image."+label]; !regexp.MustCompile(pattern).MatchString(got) {
			t.Errorf("label %s is %q, want %s", label, got, pattern)
		}
	}
	created, err := time.Parse(time.RFC3339, config.Labels["org.opencontainers.image.created"])
	if manager := image.files["manager"]; err != nil || manager == nil || !manager.ModTime().Equal(created) {
		t.Errorf("label created is %v (%v), and /manager is %v: want the same time", created, err, manager)
	}
}

// Nothing in the image can be run but its two programs: no shell, no package manager.
func TestFiles(t *testing.T) {
	image := readArchive(t)
	if got := slices.Sorted(maps.Keys(image.programs)); !slices.Equal(got, []string{"manager", "stscred-agent"}) {
		t.Errorf("%q can be executed", got)
	}
	for name := range image.programs {
		if mode := image.files[name].Mode(); mode.Perm() != 0o755 {
			t.Errorf("/%s is %v, want it executable for everybody", name, mode)
		}
	}
	for _, name := range []string{"etc/ssl/certs/ca-certificates.crt", "usr/share/zoneinfo/UTC", "etc/passwd"} {
		if image.files[name] == nil {
			t.Errorf("/%s is not there", name)
		}
	}
}

func TestProgramsAreStatic(t *testing.T) {
	image := readArchive(t)
	for name, program := range image.programs {
		wantStatic(t, name, program)
		built := map[string]string{}
		for _, setting := range buildOf(t, program).Settings {
			built[setting.Key] = setting.Value
		}
		for key, want := range map[string]string{
			"CGO_ENABLED": "0", "-trimpath": "true", "GOOS": "linux", "GOARCH": image.config.Architecture,
		} {
			if built[key] != want {
				t.Errorf("%s is built with %s=%s, want %s", name, key, built[key], want)
			}
		}
		if bytes.Contains(program, []byte("test/stsemulator")) {
			t.Errorf("the emulator is linked into %s", name)
		}
	}
}

// wantStatic insists that a program needs no other file, and has no symbols.
func wantStatic(t *testing.T, name string, program []byte) {
	t.Helper()
	binary, err := elf.NewFile(bytes.NewReader(program))
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range binary.Progs {
		if part.Type == elf.PT_INTERP || part.Type == elf.PT_DYNAMIC {
			t.Errorf("%s is linked dynamically: %v", name, part.Type)
		}
	}
	if binary.Section(".symtab") != nil || binary.Section(".debug_info") != nil || binary.Section(".zdebug_info") != nil {
		t.Errorf("%s has symbols or debugging data", name)
	}
}

func buildOf(t *testing.T, program []byte) *buildinfo.BuildInfo {
	t.Helper()
	info, err := buildinfo.Read(bytes.NewReader(program))
	if err != nil {
		t.Fatal(err)
	}
	return info
}

// The agent runs in many pods, so it is small. The list of the manager's modules is the list of the image's.
func TestAgentIsSmall(t *testing.T) {
	image := readArchive(t)
	agent := image.programs["stscred-agent"]
	if len(agent) == 0 || len(agent) > maxAgent {
		t.Errorf("/stscred-agent has %d bytes, want at most %d", len(agent), maxAgent)
	}
	modules := map[string]string{}
	for _, module := range buildOf(t, image.programs["manager"]).Deps {
		modules[module.Path] = module.Version
	}
	for _, module := range buildOf(t, agent).Deps {
		if modules[module.Path] != module.Version {
			t.Errorf("/stscred-agent has %s %s, which the manager does not have", module.Path, module.Version)
		}
	}
}

// The programs start under any user, with a root file system that cannot be written, and print what they are.
func TestRuns(t *testing.T) {
	image := readArchive(t)
	if image.config.Architecture != runtime.GOARCH {
		t.Skipf("an image for %s does not run here", image.config.Architecture)
	}
	docker := func(arguments ...string) string {
		t.Helper()
		output, err := exec.CommandContext(t.Context(), "docker", arguments...).CombinedOutput()
		if err != nil {
			t.Fatalf("docker %s: %v: %s", strings.Join(arguments, " "), err, output)
		}
		return string(output)
	}
	docker("load", "--input", os.Getenv("IMAGE_ARCHIVE"))
	labels := image.config.Config.Labels
	want := fmt.Sprintf(" %s, commit %s, go", labels["org.opencontainers.image.version"], labels["org.opencontainers.image.revision"])
	for _, user := range []string{"", "65532:65532", "1000680000:0"} {
		options := []string{"run", "--rm", "--network=none", "--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--user=" + user}
		if got := docker(append(options, "sha256:"+image.id, "--version")...); !strings.HasPrefix(got, "sts-credential-operator"+want) {
			t.Errorf("as user %q the manager prints %q, want …%q…", user, got, want)
		}
		got := docker(append(options, "--entrypoint=/stscred-agent", "sha256:"+image.id, "version")...)
		if !strings.HasPrefix(got, "stscred-agent"+want) {
			t.Errorf("as user %q the agent prints %q, want …%q…", user, got, want)
		}
	}
}
