// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package controlplane

import "syscall"

// attributes leave components in the parent's process group: no kernel but Linux's ends a child with its parent, so
// the terminal's Ctrl-C shall reach them directly.
func attributes() *syscall.SysProcAttr { return nil }
