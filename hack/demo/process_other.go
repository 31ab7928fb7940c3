// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package main

import "syscall"

// attributes leave the manager in the demo's process group: no kernel but Linux's ends a child with its parent, so the
// terminal's Ctrl-C shall reach it directly.
func attributes() *syscall.SysProcAttr { return nil }
