// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"os/exec"
	"strings"
	"testing"
)

// The commands and flags in the examples of docs/kubectl-plugin-reference.md exist. Pages that show what commands print are run
// by TestPages.
func TestPluginExamples(t *testing.T) {
	page, err := Read(repository(t), "docs/kubectl-plugin-reference.md")
	must(t, err)
	examples := 0
	for _, b := range page.Blocks {
		if b.Run != "TestPluginExamples" {
			continue
		}
		for _, line := range lines(b) {
			arguments, ok := strings.CutPrefix(line, "kubectl stscred ")
			if !ok {
				continue
			}
			examples++
			arguments, _, _ = strings.Cut(arguments, " >")
			arguments, _, _ = strings.Cut(arguments, " -- ")
			words := strings.Fields(arguments)
			help := exec.CommandContext(t.Context(), plugin(t), append(words, "--help")...)
			output, err := help.CombinedOutput()
			if err != nil || !strings.Contains(string(output), "kubectl stscred "+words[0]) {
				t.Errorf("%s:%d: %s: %v\n%s", b.Page, b.Line, line, err, output)
			}
		}
	}
	if examples < 10 {
		t.Errorf("only %d examples found", examples)
	}
}
