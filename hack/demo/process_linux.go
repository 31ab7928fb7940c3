// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import "syscall"

// attributes have the kernel kill the manager if the demo is gone, even by SIGKILL, and keep the terminal's Ctrl-C away
// from it, so that things are ended in order.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}
