// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package command

import (
	"strings"
	"testing"

	"github.com/stscredential/sts-credential-operator/cmd/kubectl-stscred/doctor"
)

func TestReportHasNoControlCharacters(t *testing.T) {
	hostile := "a\x1b[2J\u009b31m\u202eb\n✓ all is well"
	finding := doctor.Finding{Object: hostile, Message: hostile, Fix: "kubectl get \x1b]0;x\x07"}
	drawn := drawReport(doctor.Report{Findings: []doctor.Finding{finding}}, 1, style{}, false, false)
	if strings.ContainsAny(drawn, "\x1b\u009b\u202e\x07") || strings.Contains(drawn, "\n✓") {
		t.Errorf("control characters in %q", drawn)
	}
	if !strings.Contains(drawn, `a\x1b[2J\u009b31m\u202eb ✓ all is well`) {
		t.Errorf("the message is not in %q", drawn)
	}
}

func TestHereDocumentEndsAtTheBeginningOfALine(t *testing.T) {
	fix := "kubectl apply -f - <<'EOF'\na: b\nEOF"
	if got := indented(fix, 4); got != fix+"\n" {
		t.Errorf("got %q", got)
	}
}
