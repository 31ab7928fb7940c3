// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controlplane

import "syscall"

// attributes have the kernel kill a component whose parent is gone, even by SIGKILL, and keep the terminal's Ctrl-C
// away from it, so that the parent can stop things in order while the API server still answers.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}
