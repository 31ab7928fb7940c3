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

// conditions reads them.
func (env *environment) conditions(ctx context.Context) (c conditions, err error) {
	kubernetes, err := env.raw.Discovery().ServerVersion()
	if err != nil {
		return c, err
	}
	etcd, err := output(ctx, env.root, filepath.Join(env.plane.Assets(), "etcd"), "--version")
	if err != nil {
		return c, err
	}
	operator, err := output(ctx, env.root, "git", "describe", "--always", "--tags", "--dirty")
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
		Workers: env.workers, Rounds: env.rounds, Unrelated: env.unrelated, UnrelatedKB: env.unrelatedSize >> 10, Latency: env.latency,
		Flags: strings.Join(env.flags(), " "), GoSettings: goSettings(),
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

- **Machine.** {{.Cores}} cores ({{.CPU}}), {{.Memory}} GiB, {{.Kernel}}. They run everything: etcd and kube-apiserver, the manager, and
  the benchmark with the emulated STS and an observer that watches all StsCredentials. Go {{.Go}}, Kubernetes {{.Kubernetes}},
  etcd {{.Etcd}}, operator {{.Operator}}. The run took {{.Took}}.
- **Operator.** The manager is a separate process, built like that of an image, with the rights of its ServiceAccount. Its
  flags are ` + "`{{.Flags}}`" + `{{with .GoSettings}}, and its environment {{.}}{{end}}. STS answers after {{.Latency}}. The cluster
  has the admission policies of an installation, and no kube-controller-manager.
- **Baseline.** A loop of {{.Workers}} workers that decides nothing and reads nothing. For each credential it calls STS with the same
  client, creates the Secret with the same content (as protobuf), and updates the status with the same content (as JSON). It
  has the same rights and the same limits on requests.
- **Waiting.** The StsCredentials exist before. The time of the baseline is from its first call to STS to the last Ready. The
  time of the operator is from its start to the last Ready.
- **Created.** The time is from the first create to the last Ready. {{.Workers}} workers create the StsCredentials, beside the operator or
  in the loop of the baseline. The last Ready is what the observer sees, in every case.
- **Rounds.** Each measurement starts with a new control plane, because one that was used before is slower.{{if gt .Rounds 1}} Of {{.Rounds}} rounds
  the fastest counts, because other load on the machine only makes a round slower.{{end}} Restart, Secrets of other owners, and
  renewals continue where "created" ended last.
- **Counting.** Requests are those for Secrets, StsCredentials, events, grants, namespaces and tokens that the API server counted
  (apiserver_request_total), without those of the benchmark and without watches. CPU time and memory of the manager come from
  the kernel. RSS is measured without load after the work, and the peak is the highest value of the process until then.
`))

// text returns the conditions as Markdown.
func (c conditions) text(took time.Duration) string {
	c.Took = took.Round(time.Second)
	var b strings.Builder
	if err := conditionsText.Execute(&b, c); err != nil {
		panic(err) // only if the template names a field that does not exist
	}
	return b.String()
}
