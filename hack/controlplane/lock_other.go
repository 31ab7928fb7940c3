// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build !unix

package controlplane

import "context"

// lock does nothing here: programs are moved into the cache in one step each, so the worst is a build done twice.
func lock(context.Context, string, func()) (unlock func(), err error) { return func() {}, nil }
