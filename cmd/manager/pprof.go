// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build pprof

package main

import (
	"fmt"
	"net/http"
	_ "net/http/pprof" // registers its handlers
	"os"
)

// A manager that is built with the tag pprof, as test/bench does to profile it, serves profiles at PPROF_ADDRESS. No other
// build can.
func init() {
	if address := os.Getenv("PPROF_ADDRESS"); address != "" {
		go func() { fmt.Fprintln(os.Stderr, http.ListenAndServe(address, nil)) }()
	}
}
