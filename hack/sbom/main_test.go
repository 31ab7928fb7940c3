// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"strings"
	"testing"

	spdxjson "github.com/spdx/tools-golang/json"
	"github.com/spdx/tools-golang/spdx"
	"github.com/spdx/tools-golang/spdxlib"
)

const epoch = "1700000000"

// The document that SBOM names, or one that is made of this test itself, can be read by the library of the format, and
// lists the modules that `go version -m` sees in PROGRAM.
func TestDocument(t *testing.T) {
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program = cmp.Or(os.Getenv("PROGRAM"), program)
	document := read(t, program)
	if err := spdxlib.ValidateDocument(document); err != nil {
		t.Error(err)
	}
	described, err := spdxlib.GetDescribedPackageIDs(document)
	if err != nil || len(described) != 1 || described[0] != programID {
		t.Fatalf("the document describes %v, %v", described, err)
	}
	content, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := document.Packages[0].PackageChecksums[0].Value, fmt.Sprintf("%x", sha256.Sum256(content)); got != want {
		t.Errorf("the document is of the program %s, want %s", got, want)
	}
	listed := map[string]string{}
	for _, p := range document.Packages[1:] {
		listed[p.PackageName] = p.PackageVersion
		if !strings.HasPrefix(p.PackageExternalReferences[0].Locator, "pkg:golang/") {
			t.Errorf("%s has the URL %s", p.PackageName, p.PackageExternalReferences[0].Locator)
		}
	}
	if want := linked(t, program); !maps.Equal(listed, want) {
		t.Errorf("the document lists %v\nlinked in is %v", listed, want)
	}
}

func read(t *testing.T, program string) *spdx.Document {
	t.Helper()
	content, err := os.ReadFile(os.Getenv("SBOM"))
	if os.Getenv("SBOM") == "" {
		var first, second bytes.Buffer
		err = cmp.Or(write(&first, "program", "v1.2.3", epoch, program), write(&second, "program", "v1.2.3", epoch, program))
		if !bytes.Equal(first.Bytes(), second.Bytes()) {
			t.Error("two documents of one program differ")
		}
		content = first.Bytes()
	}
	if err != nil {
		t.Fatal(err)
	}
	document, err := spdxjson.Read(bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	return document
}

// linked asks the go command for the modules in the program.
func linked(t *testing.T, program string) map[string]string {
	t.Helper()
	output, err := exec.CommandContext(t.Context(), "go", "version", "-m", program).Output()
	if err != nil {
		t.Fatal(err)
	}
	modules := map[string]string{}
	for i, line := range strings.Split(string(output), "\n") {
		fields := strings.Fields(line)
		if i == 0 {
			modules["stdlib"] = strings.TrimPrefix(fields[len(fields)-1], "go")
		}
		if len(fields) > 2 && fields[0] == "dep" {
			modules[fields[1]] = fields[2]
		}
	}
	if len(modules) < 3 {
		t.Fatalf("go version -m tells too little: %s", output)
	}
	return modules
}

func TestRefusals(t *testing.T) {
	for name, err := range map[string]error{
		"no time":    write(&bytes.Buffer{}, "program", "v1", "today", os.Args[0]),
		"no file":    write(&bytes.Buffer{}, "program", "v1", epoch, "absent"),
		"no program": write(&bytes.Buffer{}, "program", "v1", epoch, "go.mod"),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
