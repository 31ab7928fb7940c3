// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package install

import (
	"os"
	"os/exec"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// `make help` lists every target that has a description, also with digits in its name.
func TestMakeHelpListsEveryTarget(t *testing.T) {
	makefile, err := os.ReadFile("../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	help, err := exec.CommandContext(t.Context(), "make", "-C", "../..", "--no-print-directory", "help").Output()
	if err != nil {
		t.Fatal(err)
	}
	targets := regexp.MustCompile(`(?m)^([^\s:]+):.*## `).FindAllStringSubmatch(string(makefile), -1)
	if len(targets) < 20 {
		t.Fatalf("the Makefile describes %d targets only", len(targets))
	}
	for _, target := range targets {
		if !regexp.MustCompile(`(?m)^\s*` + regexp.QuoteMeta(target[1]) + `\s`).Match(help) {
			t.Errorf("make help does not list %s", target[1])
		}
	}
}

// Every .PHONY target of the Makefile has a description.
func TestMakeTargetsAreDescribed(t *testing.T) {
	makefile, err := os.ReadFile("../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	for _, phony := range regexp.MustCompile(`(?m)^\.PHONY: (.+)$`).FindAllStringSubmatch(string(makefile), -1) {
		for target := range strings.FieldsSeq(phony[1]) {
			if !regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(target) + `:.*## .`).Match(makefile) {
				t.Errorf("%s has no description", target)
			}
		}
	}
}

// Every pull request runs the targets of .ci/run.
func TestWorkflowRunsTheTargetsOfCI(t *testing.T) {
	script, err := os.ReadFile("../../.ci/run")
	if err != nil {
		t.Fatal(err)
	}
	workflow, err := os.ReadFile("../../.github/workflows/ci.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var run []string
	for _, targets := range regexp.MustCompile(`targets: ([a-z0-9 -]+)`).FindAllStringSubmatch(string(workflow), -1) {
		run = append(run, strings.Fields(targets[1])...)
	}
	steps := regexp.MustCompile(`(?m)^step make (.+)$`).FindAllStringSubmatch(string(script), -1)
	if len(steps) < 10 {
		t.Fatalf(".ci/run has %d steps only", len(steps))
	}
	for _, step := range steps {
		for target := range strings.FieldsSeq(step[1]) {
			if !strings.Contains(target, "=") && !slices.Contains(run, target) {
				t.Errorf("no job of ci.yaml runs make %s", target)
			}
		}
	}
}

// manifests are the files that Dependabot reads, by ecosystem.
var manifests = map[string]string{"go.mod": "gomod", "package.json": "npm", "Dockerfile": "docker"}

// Dependabot watches every folder that pins something, in every ecosystem in use.
func TestDependabotWatchesEveryEcosystem(t *testing.T) {
	content, err := os.ReadFile("../../.github/dependabot.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var config struct {
		Updates []struct {
			Ecosystem   string   `json:"package-ecosystem"`
			Directory   string   `json:"directory"`
			Directories []string `json:"directories"`
		} `json:"updates"`
	}
	if err := yaml.Unmarshal(content, &config); err != nil {
		t.Fatal(err)
	}
	watched := func(ecosystem, folder string) bool {
		for _, update := range config.Updates {
			directories := append(slices.Clone(update.Directories), update.Directory)
			if update.Ecosystem == ecosystem && (slices.Contains(directories, folder) || slices.Contains(directories, "**/*")) {
				return true
			}
		}
		return false
	}
	files, err := exec.CommandContext(t.Context(), "git", "-C", "../..", "ls-files").Output()
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for file := range strings.FieldsSeq(string(files)) {
		ecosystem, folder := manifests[path.Base(file)], path.Join("/", path.Dir(file))
		if strings.HasPrefix(file, ".github/workflows/") {
			ecosystem, folder = "github-actions", "/"
		}
		if ecosystem == "" {
			continue
		}
		found[ecosystem] = true
		if !watched(ecosystem, folder) {
			t.Errorf("Dependabot does not watch %s (%s in %s)", file, ecosystem, folder)
		}
	}
	if len(found) != 4 {
		t.Errorf("found only %v", found)
	}
}

// Dependabot reads image names only from FROM lines: both base images are named there, not in an argument.
func TestImageBasesAreInFromLines(t *testing.T) {
	dockerfile, err := os.ReadFile("../../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	bases := regexp.MustCompile(`(?m)^FROM (?:--platform=\S+ )?([^\s$]+[:@][^\s$]+) AS (default-builder|default-base)$`).FindAllStringSubmatch(string(dockerfile), -1)
	if len(bases) != 2 {
		t.Errorf("%d of 2 bases stand in FROM lines", len(bases))
	}
}
