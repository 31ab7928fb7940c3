// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package process

import "syscall"

// bind leaves a child in the parent's process group: no kernel but Linux's ends a child with its parent, so the
// terminal's Ctrl-C shall reach it directly.
func bind(*syscall.SysProcAttr) {}
