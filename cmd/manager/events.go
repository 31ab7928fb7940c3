// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"

	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/internal/announce"
)

// newEvents lets events give way to what the controllers do.
func newEvents(c client.Client, busy func() bool) *announce.Recorder {
	const name = "sts-credential-operator"
	host, _ := os.Hostname()
	return announce.New(announce.Options{
		Client: c, Controller: name, Instance: name + "-" + host, Urgent: busy,
		Clock: clock.RealClock{}, Log: ctrl.Log.WithName("events"),
	})
}
