// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package kubectl

import (
	"net/http/httptest"
	"os/exec"
	"strings"
	"testing"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/hack/controlplane"
	"github.com/stscredential/sts-credential-operator/test/docs"
)

// The commands of docs/kubectl-plugin.md print what the page shows, and doctor's fix works: a namespace has one StsCredential that
// works, and one whose role no grant covers.
func TestTranscripts(t *testing.T) {
	e := environmentIn(t, "shop")
	e.credential("orders-reader")
	e.installed()
	sts := httptest.NewServer(e.emulator)
	defer sts.Close()
	e.credential("report-writer", func(c *v1alpha1.StsCredential) {
		c.Spec.RoleARN = strings.Replace(role, "orders-reader", "Orders-Reader", 1)
	})
	fix := e.wantOnly("role-not-granted", "-n", e.namespace)
	root, err := controlplane.RepositoryRoot()
	e.must(err)
	page, err := docs.Read(root, "docs/kubectl-plugin.md")
	e.must(err)
	commands := 0
	for _, b := range page.Blocks {
		if b.Run != "TestTranscripts" {
			continue
		}
		for _, c := range docs.Commands(b.Text) {
			commands++
			e.transcript(b, c, strings.ReplaceAll(c.Line, "--region cn-hangzhou", "--sts-endpoint "+sts.URL))
		}
	}
	if commands < 2 {
		t.Errorf("the page shows only %d commands", commands)
	}
	e.shell(fix)
	e.clean("-n", e.namespace)
}

// transcript runs a command of a block, and wants the output that the block shows. Of the commands, only doctor exits with 1.
func (e *environment) transcript(b docs.Block, c docs.Command, line string) {
	e.Helper()
	process := exec.CommandContext(e.Context(), "bash", "-euo", "pipefail", "-c", line)
	process.Env = e.shellVariables()
	output, err := process.CombinedOutput()
	status := 0
	if strings.Contains(line, " doctor ") {
		status = 1
	}
	if got := process.ProcessState.ExitCode(); got != status {
		e.Errorf("%s:%d: $ %s\nexits with %d, want %d: %v\n%s", b.Page, b.Line, line, got, status, err, output)
	}
	if !docs.Shows(string(output), c.Output) {
		e.Errorf("%s:%d: $ %s\nprints\n%s\nand not, as the page says,\n%s", b.Page, b.Line, line, output, strings.Join(c.Output, "\n"))
	}
}
