// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package rollout

import (
	"context"
	"testing"
	"time"

	"github.com/go-logr/logr"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/controllers/stscredential"
	"github.com/stscredential/sts-credential-operator/internal/metrics"
	"github.com/stscredential/sts-credential-operator/internal/ratelimit"
	"github.com/stscredential/sts-credential-operator/internal/renewal"
	"github.com/stscredential/sts-credential-operator/test/testenv"
)

// environment is what belongs to one test: a namespace, an STS, clocks and an operator with both controllers.
type environment struct {
	*testenv.Environment
	// By how much the API server's clock and the nodes' are ahead of the operator's.
	apiSkew, nodeSkew time.Duration
	issuer            *stscredential.Reconciler
	*Reconciler
}

func newEnvironment(t *testing.T) *environment {
	t.Helper()
	env := &environment{Environment: testenv.New(t, cluster)}
	env.restartOperator()
	return env
}

// restartOperator replaces the operator by a new process, which has no state.
func (env *environment) restartOperator() {
	env.Helper()
	counts, early := metrics.New(), renewal.NewEarly()
	client := env.NewSTSClient(2*time.Second, counts.Called)
	env.issuer = &stscredential.Reconciler{
		Client: cached, APIReader: cluster.APIReader(), STS: client, Clock: env.OperatorClock, Events: env.Recorder, Audit: logr.Discard(),
		Metrics: counts, Early: early, Operator: env.NewOperator(client), AccessKeys: env.NewAccessKeys(client),
		Budget: ratelimit.NewBudget(1000, 1000, env.OperatorClock), TracksConsumers: true,
	}
	env.Reconciler = &Reconciler{
		Client: cached, APIReader: cluster.APIReader(), Reads: NewReads(env.OperatorClock), Skew: client.Skew, Clock: env.OperatorClock,
		Events: env.Recorder, Results: NewResults(), Early: early,
	}
}

// user returns a client that may get and patch the StsCredentials of the test's namespace, and nothing else.
func (env *environment) user(name string) client.Client {
	env.Helper()
	name = env.Namespace + "-" + name
	env.Must(api.Create(env.Context(), &rbacv1.Role{
		ObjectMeta: metav1.ObjectMeta{Namespace: env.Namespace, Name: name},
		Rules:      []rbacv1.PolicyRule{{APIGroups: []string{v1alpha1.GroupVersion.Group}, Resources: []string{"stscredentials"}, Verbs: []string{"get", "patch"}}},
	}))
	env.Must(api.Create(env.Context(), &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: env.Namespace, Name: name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: name},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: name}},
	}))
	user := env.Login(name)
	env.Eventually("the user's rights are in force", func(ctx context.Context) bool {
		return apierrors.IsNotFound(user.Get(ctx, types.NamespacedName{Namespace: env.Namespace, Name: "probe"}, &v1alpha1.StsCredential{}))
	})
	return user
}

func merge(patch string) client.Patch {
	return client.RawPatch("application/merge-patch+json", []byte(patch))
}

// reconcile reconciles an StsCredential once with each controller, and returns the sooner of the times at which they reconcile
// it again.
func (env *environment) reconcile(c *v1alpha1.StsCredential) ctrl.Result {
	env.Helper()
	first := env.reconcileWith(env.issuer, c)
	second := env.reconcileWith(env.Reconciler, c)
	return ctrl.Result{RequeueAfter: soonest(first.RequeueAfter, second.RequeueAfter)}
}

// reconcileWith reconciles an StsCredential once with one controller and a cache that is up to date, and reads it again.
func (env *environment) reconcileWith(controller interface {
	Reconcile(context.Context, ctrl.Request) (ctrl.Result, error)
}, c *v1alpha1.StsCredential,
) ctrl.Result {
	env.Helper()
	env.WaitForCache(c)
	result, err := controller.Reconcile(env.Context(), requestFor(c))
	env.Must(err)
	env.Must(client.IgnoreNotFound(api.Get(env.Context(), client.ObjectKeyFromObject(c), c)))
	return result
}

func requestFor(c *v1alpha1.StsCredential) ctrl.Request {
	return ctrl.Request{NamespacedName: client.ObjectKeyFromObject(c)}
}
