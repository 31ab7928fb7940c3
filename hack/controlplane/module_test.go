// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestChosenVersion(t *testing.T) {
	for _, test := range []struct{ name, asked, want, wantErr string }{
		{name: "nothing asked for: the pinned one", asked: "", want: "1.36.3"},
		{name: "a release", asked: "1.33.13", want: "1.33.13"},
		{name: "a release as its tag", asked: "v1.33.13", want: "1.33.13"},
		{name: "a minor alone names no release", asked: "1.33", wantErr: "such as 1.36.3"},
		{name: "no path can be smuggled into the cache's", asked: "1.33.0/../..", wantErr: "KUBERNETES_VERSION=1.33.0/../.."},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := chosenVersion(test.asked, "1.36.3")
			if got != test.want || !errorContains(err, test.wantErr) {
				t.Errorf("got %q, %v; want %q, an error with %q", got, err, test.want, test.wantErr)
			}
		})
	}
}

func TestPinnedVersion(t *testing.T) {
	for _, test := range []struct{ name, module, want, wantErr string }{
		{name: "on a line of its own", module: "module x\n\nrequire k8s.io/kubernetes v1.36.3 // indirect\n", want: "1.36.3"},
		{name: "in a block", module: "require (\n\tk8s.io/api v0.36.3\n\tk8s.io/kubernetes v1.36.4\n)\n", want: "1.36.4"},
		{name: "a tool line is no requirement", module: "tool k8s.io/kubernetes/cmd/kubelet\n", wantErr: "hack/kubernetes/go.mod"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := pinnedVersion(test.module)
			if got != test.want || !errorContains(err, test.wantErr) {
				t.Errorf("got %q, %v; want %q, an error with %q", got, err, test.want, test.wantErr)
			}
		})
	}
}

const upstream = `// This is a generated file. Do not edit directly.

module k8s.io/kubernetes

go 1.24.0

godebug default=go1.24

require (
	github.com/kylelemons/godebug v1.1.0 // indirect
	k8s.io/api v0.0.0
	k8s.io/klog/v2 v2.130.1
)

replace (
	k8s.io/api => ./staging/src/k8s.io/api
	k8s.io/kubelet => ./staging/src/k8s.io/kubelet
)
`

const derived = `module github.com/stscredential/sts-credential-operator/hack/kubernetes

go 1.24.0
godebug default=go1.24

tool k8s.io/kubernetes/cmd/kube-controller-manager
tool k8s.io/kubernetes/cmd/kube-proxy
tool k8s.io/kubernetes/cmd/kube-scheduler
tool k8s.io/kubernetes/cmd/kubelet
tool k8s.io/kubernetes/cmd/kube-apiserver
tool k8s.io/kubernetes/cmd/kubectl

require k8s.io/kubernetes v1.33.13

replace k8s.io/api => k8s.io/api v0.33.13
replace k8s.io/kubelet => k8s.io/kubelet v0.33.13
`

func TestDeriveModule(t *testing.T) {
	for _, test := range []struct{ name, upstream, want, wantErr string }{
		{name: "staging modules become their releases", upstream: upstream, want: derived},
		{name: "not the go.mod of Kubernetes", upstream: "module x\n", wantErr: "no staging modules"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := deriveModule(test.upstream, "1.33.13")
			if got != test.want || !errorContains(err, test.wantErr) {
				t.Errorf("got\n%s, %v; want\n%s, an error with %q", got, err, test.want, test.wantErr)
			}
		})
	}
}

// What is committed says the same as what would be derived: the same staging modules, all at one version.
func TestPinnedModuleIsConsistent(t *testing.T) {
	root, err := RepositoryRoot()
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(filepath.Join(root, kubernetesModule, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	version, err := pinnedVersion(string(content))
	if err != nil {
		t.Fatal(err)
	}
	stagingVersion := " v0." + strings.TrimPrefix(version, "1.")
	for line := range strings.Lines(string(content)) {
		if _, target, ok := strings.Cut(strings.TrimSpace(line), " => "); ok && !strings.HasSuffix(target, stagingVersion) {
			t.Errorf("Kubernetes is %s, but a staging module is replaced by %s", version, target)
		}
	}
	for _, name := range programs {
		if name != "etcd" && !strings.Contains(string(content), "\t"+kubernetesPackage(name)+"\n") {
			t.Errorf("%s is not among the tools of %s/go.mod, so its dependencies may be missing", name, kubernetesModule)
		}
	}
}

func TestLinkerFlags(t *testing.T) {
	got := linkerFlags("1.33.13")
	want := "-s -w -X k8s.io/component-base/version.gitVersion=v1.33.13 -X k8s.io/component-base/version.gitMajor=1" +
		" -X k8s.io/component-base/version.gitMinor=33 -X k8s.io/client-go/pkg/version.gitVersion=v1.33.13"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// errorContains reports whether err contains the text, or is nil if the text is empty.
func errorContains(err error, want string) bool {
	if err == nil || want == "" {
		return err == nil && want == ""
	}
	return strings.Contains(err.Error(), want)
}
