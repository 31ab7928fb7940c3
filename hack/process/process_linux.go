// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package process

import "syscall"

// bind has the kernel kill a child whose parent is gone, even by SIGKILL, and keeps the terminal's Ctrl-C away from it,
// so that the parent can stop things in order.
func bind(attributes *syscall.SysProcAttr) {
	attributes.Pdeathsig = syscall.SIGKILL
	attributes.Setpgid = true
}
