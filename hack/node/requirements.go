// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// plugins is where Debian's package puts the CNI plugins.
const plugins = "/usr/lib/cni"

// packages are the Debian packages of what a node runs, by program.
var packages = map[string]string{
	"containerd":                         "containerd",
	"ctr":                                "containerd",
	"runc":                               "runc",
	filepath.Join(plugins, "bridge"):     "containernetworking-plugins",
	filepath.Join(plugins, "host-local"): "containernetworking-plugins",
	"ip":                                 "iproute2",
	"nft":                                "nftables",
	"nsenter":                            "util-linux",
}

// check returns what this machine lacks.
func check() error {
	if runtime.GOOS != "linux" {
		return errors.New("a node needs Linux: on another system run it in a virtual machine")
	}
	if os.Geteuid() != 0 {
		return errors.New("a node needs root: it makes namespaces and cgroups")
	}
	lacking := map[string]bool{}
	for program, of := range packages {
		if _, err := exec.LookPath(program); err != nil {
			lacking[of] = true
		}
	}
	if len(lacking) > 0 {
		return fmt.Errorf("a node needs more programs: apt-get install %s", strings.Join(slices.Sorted(maps.Keys(lacking)), " "))
	}
	return nil
}
