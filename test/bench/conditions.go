// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"text/template"
	"time"

	"github.com/prometheus/procfs"
)

// conditions are what the figures depend on.
type conditions struct {
	Cores                          int
	CPU, Kernel                    string
	Memory                         int // GiB
	Go, Kubernetes, Etcd, Operator string
	Workers, Rounds                int
	Unrelated, UnrelatedKB         int
	Latency                        time.Duration
	Flags, GoSettings              string
	Took                           time.Duration
}

// conditions finds them out.
func (s *site) conditions(ctx context.Context) (c conditions, err error) {
	kubernetes, err := s.raw.Discovery().ServerVersion()
	if err != nil {
		return c, err
	}
	etcd, err := output(ctx, s.root, filepath.Join(s.plane.Assets(), "etcd"), "--version")
	if err != nil {
		return c, err
	}
	operator, err := output(ctx, s.root, "git", "describe", "--always", "--tags", "--dirty")
	if err != nil {
		operator = "unknown" // outside a checkout
	}
	fs, err := procfs.NewDefaultFS()
	if err != nil {
		return c, err
	}
	cpus, err := fs.CPUInfo()
	if err != nil {
		return c, err
	}
	memory, err := fs.Meminfo()
	if err != nil {
		return c, err
	}
	kernel, err := os.ReadFile("/proc/sys/kernel/osrelease")
	return conditions{
		Cores: runtime.NumCPU(), CPU: cpus[0].ModelName, Kernel: "Linux " + strings.TrimSpace(string(kernel)), Memory: int(*memory.MemTotalBytes >> 30),
		Go: strings.TrimPrefix(runtime.Version(), "go"), Kubernetes: strings.TrimPrefix(kubernetes.GitVersion, "v"),
		Etcd: regexp.MustCompile(`\d+\.\d+\.\d+`).FindString(etcd), Operator: operator,
		Workers: s.workers, Rounds: s.rounds, Unrelated: s.unrelated, UnrelatedKB: s.unrelatedSize >> 10, Latency: s.latency,
		Flags: strings.Join(s.flags(), " "), GoSettings: goSettings(),
	}, err
}

// goSettings are the variables of Go's runtime that the manager inherits.
func goSettings() string {
	var set []string
	for _, name := range []string{"GOGC", "GOMEMLIMIT", "GOMAXPROCS"} {
		if value, ok := os.LookupEnv(name); ok {
			set = append(set, name+"="+value)
		}
	}
	return strings.Join(set, " ")
}

func output(ctx context.Context, dir, program string, arguments ...string) (string, error) {
	cmd := exec.CommandContext(ctx, program, arguments...)
	cmd.Dir = dir
	text, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s %v: %w", program, arguments, err)
	}
	return strings.TrimSpace(string(text)), nil
}

var conditionsText = template.Must(template.New("conditions").Parse(`## Conditions

- {{.Cores}} cores ({{.CPU}}), {{.Memory}} GiB, {{.Kernel}}, for everything: etcd and kube-apiserver, the manager, and the bench
  with the emulated STS and an observer that watches all StsCredentials. Go {{.Go}}, Kubernetes {{.Kubernetes}}, etcd {{.Etcd}},
  operator {{.Operator}}. The whole took {{.Took}}.
- STS answers after {{.Latency}}. The manager is a process of its own, built as an image's is, with the rights of its
  ServiceAccount, and runs with ` + "`{{.Flags}}`" + `{{with .GoSettings}} and {{.}}{{end}}. The cluster has an installation's
  admission policies, and no kube-controller-manager.
- The floor is a loop of {{.Workers}} workers that knows nothing and looks at nothing. For each credential it calls STS, with the
  same client, creates the Secret, with the same content (as protobuf), and updates the status, with the same content (as JSON),
  with the same rights and the same limits on requests.
- "Waiting": the StsCredentials are there before. The floor runs from its first call to STS to the last Ready, and so does the
  operator, which is started then. "Created": it runs from the first create to the last Ready; {{.Workers}} workers create the
  StsCredentials beside the operator, and in the floor's own loop. The last Ready is what the observer sees, in every case.
- Each of these begins with a new control plane: one that has had others before it is slower.{{if gt .Rounds 1}} Of {{.Rounds}} rounds,
  the fastest counts: what else goes on on a machine only ever slows things down.{{end}} Restart, Secrets of others and
  renewals go on where "created" ended last.
- Requests are those for Secrets, StsCredentials, events, grants, namespaces and tokens that the API server counted
  (apiserver_request_total), less the bench's own; watches are left out. CPU time and memory are the kernel's figures for the
  manager. RSS is that at rest, after the work; the peak is the highest of the process until then.
`))

// text tells the conditions as Markdown.
func (c conditions) text(took time.Duration) string {
	c.Took = took.Round(time.Second)
	var b strings.Builder
	if err := conditionsText.Execute(&b, c); err != nil {
		panic(err) // only for a template that names no field
	}
	return b.String()
}
