// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
)

// kubernetesModule and etcdModule pin what the programs are built from, as paths from the repository's root.
const (
	kubernetesModule = "hack/kubernetes"
	etcdModule       = "hack/etcd"
)

var (
	release     = regexp.MustCompile(`^1\.\d+\.\d+$`)
	requirement = regexp.MustCompile(`(?m)^\s*(?:require )?k8s\.io/kubernetes v(\S+)`)
	staging     = regexp.MustCompile(`(?m)^\s*(?:replace )?(k8s\.io/\S+) => \./staging/`)
	language    = regexp.MustCompile(`(?m)^(go|godebug) .+$`)
)

// pinnedVersion reads the version of Kubernetes, without the v, from the text of hack/kubernetes/go.mod.
func pinnedVersion(module string) (string, error) {
	match := requirement.FindStringSubmatch(module)
	if match == nil {
		return "", fmt.Errorf("%s/go.mod requires no k8s.io/kubernetes: restore it", kubernetesModule)
	}
	return match[1], nil
}

// chosenVersion is what the user asked for, or else the pinned version.
func chosenVersion(asked, pinned string) (string, error) {
	if asked == "" {
		return pinned, nil
	}
	version := strings.TrimPrefix(asked, "v")
	if !release.MatchString(version) {
		return "", fmt.Errorf("%s=%s is no release of Kubernetes: write it in full, such as %s", versionVariable, asked, pinned)
	}
	return version, nil
}

// deriveModule writes a go.mod that builds the programs of the given version, from the go.mod of k8s.io/kubernetes in
// that version. That one replaces its staging modules by folders which the module proxy does not serve; their releases
// are the same code, under v0 instead of v1. Which they are differs from one version to the next.
func deriveModule(upstream, version string) (string, error) {
	modules := staging.FindAllStringSubmatch(upstream, -1)
	if modules == nil {
		return "", fmt.Errorf("k8s.io/kubernetes v%s has no staging modules in its go.mod: choose another %s", version, versionVariable)
	}
	var b strings.Builder
	b.WriteString("module github.com/stscredential/sts-credential-operator/hack/kubernetes\n\n")
	// Its language version and godebug settings change how the programs behave, and hold for main modules only.
	b.WriteString(strings.Join(language.FindAllString(upstream, -1), "\n") + "\n\n")
	for _, name := range programs {
		if name != "etcd" {
			fmt.Fprintf(&b, "tool %s\n", kubernetesPackage(name))
		}
	}
	fmt.Fprintf(&b, "\nrequire k8s.io/kubernetes v%s\n\n", version)
	for _, module := range modules {
		fmt.Fprintf(&b, "replace %s => %[1]s v0.%s\n", module[1], strings.TrimPrefix(version, "1."))
	}
	return b.String(), nil
}

// kubernetesPackage is the package that a program is built from.
func kubernetesPackage(name string) string { return path.Join("k8s.io/kubernetes/cmd", name) }

// linkerFlags stamp the version as Kubernetes' own builds do; without it the API server calls itself v0.0.0.
func linkerFlags(version string) string {
	parts := strings.Split(version, ".")
	flags := []string{"-s", "-w"}
	for _, variable := range []string{
		"k8s.io/component-base/version.gitVersion=v" + version,
		"k8s.io/component-base/version.gitMajor=" + parts[0],
		"k8s.io/component-base/version.gitMinor=" + parts[1],
		"k8s.io/client-go/pkg/version.gitVersion=v" + version,
	} {
		flags = slices.Concat(flags, []string{"-X", variable})
	}
	return strings.Join(flags, " ")
}
