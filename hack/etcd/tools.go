// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build tools

// Package etcd pins the etcd server that the local control plane is built from.
package etcd

import _ "go.etcd.io/etcd/server/v3"
