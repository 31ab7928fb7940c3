// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package node

import "syscall"

// ownNamespaces exist on Linux alone; check refuses to start a cluster elsewhere.
func ownNamespaces() *syscall.SysProcAttr { return nil }
