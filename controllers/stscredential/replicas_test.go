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

// Of two replicas the leader exports series of the objects; when it ends, the other does.
func TestTheLeaderTellsOfTheObjects(t *testing.T) {
	env := newEnvironment(t)
	replica := func() (reported func() int, stop func()) {
		env.restartOperator()
		mgr, stop := env.startManager(func(o *ctrl.Options) {
			o.LeaderElection, o.LeaderElectionID, o.LeaderElectionNamespace = true, "replicas", env.Namespace
			o.LeaderElectionReleaseOnCancel = true
		})
		registry := prometheus.NewPedanticRegistry()
		env.Must(env.RegisterMetrics(registry, mgr.Elected()))
		return func() int {
			n, err := testutil.GatherAndCount(registry, "stscredential_ready", "stscredential_expired_seconds_total")
			env.Must(err)
			return n
		}, stop
	}
	first, stop := replica()
	c := env.CreateCredential("orders")
	env.waitForCondition(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued)
	second, _ := replica()
	env.Eventually("the first exports series", func(context.Context) bool { return first() == 2 })
	if n := second(); n != 0 {
		t.Errorf("the standby exports %d series", n)
	}
	stop()
	env.Eventually("the second exports series", func(context.Context) bool { return second() == 2 })
}
