// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stscredential

import (
	"context"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
)

// Of two replicas the one that leads tells of the objects; when it goes, the other does.
func TestTheLeaderTellsOfTheObjects(t *testing.T) {
	w := newWorld(t)
	replica := func() (told func() int, stop func()) {
		w.restart()
		mgr, stop := w.manage(func(o *ctrl.Options) {
			o.LeaderElection, o.LeaderElectionID, o.LeaderElectionNamespace = true, "replicas", w.namespace
			o.LeaderElectionReleaseOnCancel = true
		})
		registry := prometheus.NewPedanticRegistry()
		w.must(w.RegisterMetrics(registry, mgr.Elected()))
		return func() int {
			n, err := testutil.GatherAndCount(registry, "stscredential_ready", "stscredential_expired_seconds_total")
			w.must(err)
			return n
		}, stop
	}
	first, stop := replica()
	c := w.credential("orders")
	w.become(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued)
	second, _ := replica()
	w.eventually("the first tells", func(context.Context) bool { return first() == 2 })
	if n := second(); n != 0 {
		t.Errorf("the standby tells %d series", n)
	}
	stop()
	w.eventually("the second tells", func(context.Context) bool { return second() == 2 })
}
