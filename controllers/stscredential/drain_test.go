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

// slow has STS answer AssumeRole when it is released. asked says that a call waits.
func (w *world) slow() (asked <-chan struct{}, release func()) {
	w.Helper()
	calls, released := make(chan struct{}, 100), make(chan struct{})
	w.patient()
	w.serve(func(out http.ResponseWriter, in *http.Request) {
		if in.Header.Get("x-acs-action") == "AssumeRole" {
			calls <- struct{}{}
			select {
			case <-released:
			case <-in.Context().Done():
				return
			}
		}
		w.emulator.ServeHTTP(out, in)
	})
	return calls, func() { close(released) }
}

// stopping ends a manager, and returns once its workers know.
func (w *world) stopping(mgr ctrl.Manager, stop func()) (stopped <-chan struct{}) {
	w.Helper()
	ends, ended := make(chan struct{}), make(chan struct{})
	w.must(mgr.Add(manager.RunnableFunc(func(ctx context.Context) error {
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
	w := newWorld(t)
	asked, release := w.slow()
	mgr, stop := w.manage(func(o *ctrl.Options) {
		o.LeaderElection, o.LeaderElectionID, o.LeaderElectionNamespace = true, "drain", w.namespace
		o.LeaderElectionReleaseOnCancel = true
	})
	c := w.credential("orders")
	<-asked
	stopped := w.stopping(mgr, stop)
	late := w.credential("late")
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "drain"}}
	w.must(api.Get(w.ctx, client.ObjectKeyFromObject(lease), lease))
	if ptr.Deref(lease.Spec.HolderIdentity, "") == "" {
		t.Error("the lease is given back while a call is under way")
	}
	release()
	<-stopped
	w.wantCalls(1)
	w.must(api.Get(w.ctx, client.ObjectKeyFromObject(c), c))
	w.wantCondition(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
	if id := w.wantWorking("orders"); id != c.Status.AccessKeyID {
		t.Errorf("the status names %s, the Secret holds %s", c.Status.AccessKeyID, id)
	}
	if w.secret(late.Name) != nil {
		t.Error("work was begun after the end")
	}
	w.must(api.Get(w.ctx, client.ObjectKeyFromObject(lease), lease))
	if ptr.Deref(lease.Spec.HolderIdentity, "") != "" {
		t.Error("the lease is not given back")
	}
}

// A call that hangs does not keep the process from ending.
func TestWorkUnderWayEndsWithTheGracePeriod(t *testing.T) {
	w := newWorld(t)
	asked, _ := w.slow()
	mgr, stop := w.manage()
	w.credential("orders")
	<-asked
	stopped := w.stopping(mgr, stop)
	w.eventually("the process ends", func(context.Context) bool {
		select {
		case <-stopped:
			return true
		default:
			w.clock.Step(drain.Timeout)
			return false
		}
	})
	if w.secret("orders") != nil {
		t.Error("there is a Secret without an answer")
	}
}

// A panic while one object is worked on is an error of that object: it is tried again, ever later, and the others go on.
func TestPanicsEndNothing(t *testing.T) {
	w := newWorld(t)
	var panics atomic.Int32
	var healed atomic.Bool
	through := w.Audit
	w.Audit = funcr.New(func(_, line string) {
		through.Info(line)
		if !healed.Load() {
			panics.Add(1)
			panic("out of order")
		}
	}, funcr.Options{})
	w.manage()
	c := w.credential("orders")
	w.eventually("it panics again and again", func(context.Context) bool { return panics.Load() >= 3 })
	w.wantCalls(int(panics.Load()))
	healed.Store(true)
	w.become(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued)
	w.become(w.credential("others"), v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued)
}
