// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"

	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/internal/eventrecorder"
)

// newEvents returns the event recorder.
func newEvents(c client.Client) *eventrecorder.Recorder {
	const name = "sts-credential-operator"
	host, _ := os.Hostname()
	return eventrecorder.New(eventrecorder.Options{
		Client: c, Controller: name, Instance: name + "-" + host,
		Clock: clock.RealClock{}, Log: ctrl.Log.WithName("events"),
	})
}
