// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/stscredential/sts-credential-operator/hack/process"
)

func (p *preparation) buildEtcd(ctx context.Context) error {
	p.say("building etcd from Go modules; this takes about 1 minute, once")
	return p.build(ctx, filepath.Join(p.root, etcdModule), "etcd", func(out string) []string {
		// The last element of its package's path is v3, so the file has to be named.
		return []string{"-ldflags", "-s -w", "-o", filepath.Join(out, "etcd"), "go.etcd.io/etcd/server/v3"}
	})
}

func (p *preparation) buildKubernetes(ctx context.Context, names []string) error {
	module, remove, err := p.kubernetesModule(ctx)
	if err != nil {
		return err
	}
	defer remove()
	p.say("building %s from Go modules; on 2 cores kube-apiserver takes about 5 minutes and each of the others 1, once",
		strings.Join(names, ", "))
	return p.build(ctx, module, strings.Join(names, " "), func(out string) []string {
		args := []string{"-ldflags", linkerFlags(p.version), "-o", out + string(filepath.Separator)}
		for _, name := range names {
			args = append(args, kubernetesPackage(name))
		}
		return args
	})
}

// build runs go build in the module and moves the programs, named with blanks between, into the folder.
func (p *preparation) build(ctx context.Context, module, names string, args func(out string) []string) error {
	out, err := os.MkdirTemp(p.dir, ".build-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(out) }()
	if _, err := p.goCommand(ctx, module, append([]string{"build", "-trimpath"}, args(out)...)...); err != nil {
		return fmt.Errorf("build %s: %w", names, err)
	}
	return p.adopt(out, strings.Fields(names))
}

// kubernetesModule returns the folder of the module that builds the wanted version: the one in the repository, or a
// temporary one that is derived from Kubernetes' own, and a function that removes it again.
func (p *preparation) kubernetesModule(ctx context.Context) (dir string, remove func(), err error) {
	if p.version == p.pinned {
		return filepath.Join(p.root, kubernetesModule), func() {}, nil
	}
	p.say("deriving a module for this version, as %s is pinned to %s", kubernetesModule, p.pinned)
	dir, err = os.MkdirTemp(p.dir, ".module-*")
	if err != nil {
		return "", nil, err
	}
	remove = func() { _ = os.RemoveAll(dir) }
	if err := p.writeModule(ctx, dir); err != nil {
		remove()
		return "", nil, err
	}
	return dir, remove, nil
}

func (p *preparation) writeModule(ctx context.Context, dir string) error {
	answer, err := p.goCommand(ctx, dir, "mod", "download", "-json", "k8s.io/kubernetes@v"+p.version)
	if err != nil {
		return fmt.Errorf("fetch Kubernetes %s: does this release exist? %w", p.version, err)
	}
	var downloaded struct{ GoMod string }
	if err := json.Unmarshal(answer, &downloaded); err != nil {
		return fmt.Errorf("read the answer of go mod download: %w", err)
	}
	upstream, err := os.ReadFile(downloaded.GoMod)
	if err != nil {
		return err
	}
	module, err := deriveModule(string(upstream), p.version)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte(module), 0o600); err != nil {
		return err
	}
	_, err = p.goCommand(ctx, dir, "mod", "tidy")
	return err
}

// goCommand runs the go command in a folder, reports its progress, and returns what it printed
// on stdout. Its errors carry the last lines of stderr.
func (p *preparation) goCommand(ctx context.Context, dir string, args ...string) ([]byte, error) {
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &stdout, &stderr
	// A workspace would replace the pinned modules.
	cmd.Env = append(os.Environ(), "GOWORK=off")
	// An interrupt, which go passes on to what it runs, leaves no compiler or download behind; killing go would.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return nil, fmt.Errorf("go %s: %w", args[0], context.Cause(ctx))
		}
		return nil, fmt.Errorf("go %s: %w: %s", args[0], err, process.LastLines(stderr.String(), 10))
	}
	return stdout.Bytes(), nil
}
