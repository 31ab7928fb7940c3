// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command sbom prints what a Go program is made of, as the linker wrote it into the program: an SPDX 2.3 document in JSON.
// The same program gives the same document, byte for byte.
//
//	sbom NAME VERSION EPOCH PROGRAM
//
// EPOCH is the time that the document bears, in seconds since 1970.
package main

import (
	"cmp"
	"crypto/sha256"
	"debug/buildinfo"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	spdxjson "github.com/spdx/tools-golang/json"
	"github.com/spdx/tools-golang/spdx"
	"github.com/spdx/tools-golang/spdx/v2/common"
)

const (
	source      = "https://github.com/stscredential/sts-credential-operator"
	unknown     = "NOASSERTION"
	programID   = common.ElementID("Program")
	programFile = "/manager"
)

func main() {
	if len(os.Args) != 5 {
		fmt.Fprintln(os.Stderr, "usage: sbom NAME VERSION EPOCH PROGRAM")
		os.Exit(2)
	}
	if err := write(os.Stdout, os.Args[1], os.Args[2], os.Args[3], os.Args[4]); err != nil {
		fmt.Fprintln(os.Stderr, "sbom:", err)
		os.Exit(1)
	}
}

func write(out io.Writer, name, version, epoch, program string) error {
	seconds, err := strconv.ParseInt(epoch, 10, 64)
	if err != nil {
		return err
	}
	content, err := os.ReadFile(filepath.Clean(program))
	if err != nil {
		return err
	}
	info, err := buildinfo.ReadFile(program)
	if err != nil {
		return fmt.Errorf("%s: %w", program, err)
	}
	sum := fmt.Sprintf("%x", sha256.Sum256(content))
	document := &spdx.Document{
		SPDXVersion: spdx.Version, DataLicense: spdx.DataLicense, SPDXIdentifier: "DOCUMENT",
		DocumentName: name + " " + version, DocumentNamespace: source + "/sbom/" + sum,
		CreationInfo: &spdx.CreationInfo{Created: time.Unix(seconds, 0).UTC().Format(time.RFC3339), Creators: []common.Creator{{CreatorType: "Tool", Creator: "sts-credential-operator-sbom"}}},
		Packages: []*spdx.Package{{
			PackageName: name, PackageSPDXIdentifier: programID, PackageVersion: version, PackageFileName: programFile,
			PackageDownloadLocation: "git+" + source, PackageChecksums: []common.Checksum{{Algorithm: spdx.SHA256, Value: sum}},
			PackageLicenseConcluded: "Apache-2.0", PackageLicenseDeclared: "Apache-2.0", PackageCopyrightText: unknown,
			PrimaryPackagePurpose: "APPLICATION",
		}},
		Relationships: []*spdx.Relationship{relationship("DOCUMENT", spdx.RelationshipDescribes, programID)},
	}
	for _, module := range modules(info) {
		library := library(module)
		document.Packages = append(document.Packages, library)
		document.Relationships = append(document.Relationships, relationship(programID, spdx.RelationshipDependsOn, library.PackageSPDXIdentifier))
	}
	return spdxjson.Write(document, out, spdxjson.Indent("  "))
}

// modules are those linked in, and Go's own packages under the name that scanners know.
func modules(info *debug.BuildInfo) []*debug.Module {
	all := []*debug.Module{{Path: "stdlib", Version: strings.TrimPrefix(info.GoVersion, "go")}}
	for _, module := range info.Deps {
		all = append(all, cmp.Or(module.Replace, module))
	}
	return all
}

// notInID are the characters that an SPDX identifier may not have.
var notInID = regexp.MustCompile(`[^A-Za-z0-9.-]`)

func library(module *debug.Module) *spdx.Package {
	return &spdx.Package{
		PackageName: module.Path, PackageVersion: module.Version,
		PackageSPDXIdentifier:   common.ElementID("Module-" + notInID.ReplaceAllStringFunc(module.Path, func(c string) string { return fmt.Sprintf("-%x-", c) })),
		PackageDownloadLocation: unknown, PackageLicenseConcluded: unknown, PackageLicenseDeclared: unknown, PackageCopyrightText: unknown,
		PrimaryPackagePurpose: "LIBRARY",
		PackageExternalReferences: []*spdx.PackageExternalReference{{
			Category: spdx.CategoryPackageManager, RefType: spdx.PackageManagerPURL, Locator: purl(module),
		}},
	}
}

// purl names a module as https://github.com/package-url/purl-spec says: golang's are in lower case.
func purl(module *debug.Module) string {
	return "pkg:golang/" + strings.ToLower(module.Path) + "@" + strings.ReplaceAll(module.Version, "+", "%2B")
}

func relationship(from common.ElementID, kind string, to common.ElementID) *spdx.Relationship {
	return &spdx.Relationship{RefA: common.MakeDocElementID("", string(from)), Relationship: kind, RefB: common.MakeDocElementID("", string(to))}
}
