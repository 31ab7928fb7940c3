// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command pause waits until it is interrupted. It is what a pod's sandbox runs.
package main

import (
	"os"
	"os/signal"
	"syscall"
)

func main() {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt, syscall.SIGTERM)
	<-stop
}
