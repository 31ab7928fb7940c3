// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stscredential

import (
	"context"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/go-logr/logr/funcr"
	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/drain"
)

// blockSTS has STS answer AssumeRole when it is released. asked says that a call waits.
func (env *environment) blockSTS() (asked <-chan struct{}, release func()) {
	env.Helper()
	calls, released := make(chan struct{}, 100), make(chan struct{})
	env.raiseTimeout()
	env.replaceSTS(func(out http.ResponseWriter, in *http.Request) {
		if in.Header.Get("x-acs-action") == "AssumeRole" {
			calls <- struct{}{}
			select {
			case <-released:
			case <-in.Context().Done():
				return
			}
		}
		env.Emulator.ServeHTTP(out, in)
	})
	return calls, func() { close(released) }
}

// stopManager ends a manager, and returns once its workers know.
func (env *environment) stopManager(mgr ctrl.Manager, stop func()) (stopped <-chan struct{}) {
	env.Helper()
	ends, ended := make(chan struct{}), make(chan struct{})
	env.Must(mgr.Add(manager.RunnableFunc(func(ctx context.Context) error {
		<-ctx.Done()
		close(ends)
		return nil
	})))
	go func() {
		defer close(ended)
		stop()
	}()
	<-ends
	return ended
}

// A process that is asked to end while STS is asked writes what STS answers, reports it, begins nothing more, and gives its
// lease back only then.
func TestWorkUnderWayIsFinishedAtTheEnd(t *testing.T) {
	env := newEnvironment(t)
	asked, release := env.blockSTS()
	mgr, stop := env.startManager(func(o *ctrl.Options) {
		o.LeaderElection, o.LeaderElectionID, o.LeaderElectionNamespace = true, "drain", env.Namespace
		o.LeaderElectionReleaseOnCancel = true
	})
	c := env.CreateCredential("orders")
	<-asked
	stopped := env.stopManager(mgr, stop)
	late := env.CreateCredential("late")
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: env.Namespace, Name: "drain"}}
	env.Must(api.Get(env.Context(), client.ObjectKeyFromObject(lease), lease))
	if ptr.Deref(lease.Spec.HolderIdentity, "") == "" {
		t.Error("the lease is given back while a call is under way")
	}
	release()
	<-stopped
	env.WantCalls(1)
	env.Must(api.Get(env.Context(), client.ObjectKeyFromObject(c), c))
	env.WantCondition(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
	if id := env.wantWorking("orders"); id != c.Status.AccessKeyID {
		t.Errorf("the status names %s, the Secret holds %s", c.Status.AccessKeyID, id)
	}
	if env.Secret(late.Name) != nil {
		t.Error("work was begun after the end")
	}
	env.Must(api.Get(env.Context(), client.ObjectKeyFromObject(lease), lease))
	if ptr.Deref(lease.Spec.HolderIdentity, "") != "" {
		t.Error("the lease is not given back")
	}
}

// A call that hangs does not keep the process from ending.
func TestWorkUnderWayEndsWithTheGracePeriod(t *testing.T) {
	env := newEnvironment(t)
	asked, _ := env.blockSTS()
	mgr, stop := env.startManager()
	env.CreateCredential("orders")
	<-asked
	stopped := env.stopManager(mgr, stop)
	env.Eventually("the process ends", func(context.Context) bool {
		select {
		case <-stopped:
			return true
		default:
			env.OperatorClock.Step(drain.Timeout)
			return false
		}
	})
	if env.Secret("orders") != nil {
		t.Error("there is a Secret without an answer")
	}
}

// A panic while one object is worked on is an error of that object: it is tried again, ever later, and the others go on.
func TestPanicsEndNothing(t *testing.T) {
	env := newEnvironment(t)
	var panics atomic.Int32
	var healed atomic.Bool
	through := env.Audit
	env.Audit = funcr.New(func(_, line string) {
		through.Info(line)
		if !healed.Load() {
			panics.Add(1)
			panic("out of order")
		}
	}, funcr.Options{})
	env.startManager()
	c := env.CreateCredential("orders")
	env.Eventually("it panics again and again", func(context.Context) bool { return panics.Load() >= 3 })
	env.WantCalls(int(panics.Load()))
	healed.Store(true)
	env.waitForCondition(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued)
	env.waitForCondition(env.CreateCredential("others"), v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued)
}
