// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package rollout

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/controllers/stscredential"
	"github.com/stscredential/sts-credential-operator/internal/credentials"
	"github.com/stscredential/sts-credential-operator/internal/identity"
	"github.com/stscredential/sts-credential-operator/internal/ratelimit"
	"github.com/stscredential/sts-credential-operator/internal/renewal"
	"github.com/stscredential/sts-credential-operator/internal/secret"
	"github.com/stscredential/sts-credential-operator/internal/sts"
	"github.com/stscredential/sts-credential-operator/test/stsemulator"
)

const (
	account  = "1234567890123456"
	role     = "acs:ram::" + account + ":role/orders-reader"
	operator = "acs:ram::" + account + ":user/sts-operator"
)

// world is one test's own: a namespace, an STS, a clock and an operator with both controllers.
type world struct {
	*testing.T
	ctx       context.Context
	namespace string
	emulator  *stsemulator.Emulator
	key       stsemulator.AccessKey
	server    *httptest.Server
	stsClock  *clocktesting.FakeClock // STS's
	clock     *clocktesting.FakeClock // the operator's
	events    *events.FakeRecorder
	// How far the API server's clock and the nodes' are ahead of the operator's.
	apiAhead, nodeAhead time.Duration
	issuer              *stscredential.Reconciler
	*Reconciler
}

var worlds int

// newWorld makes a namespace that is granted the role, and an STS that knows it.
func newWorld(t *testing.T) *world {
	t.Helper()
	worlds++
	start := time.Now().Truncate(time.Second)
	w := &world{
		T: t, ctx: t.Context(), namespace: fmt.Sprint("shop-", worlds),
		stsClock: clocktesting.NewFakeClock(start), clock: clocktesting.NewFakeClock(start), events: events.NewFakeRecorder(1000),
	}
	w.emulator = stsemulator.New(stsemulator.Options{Clock: w.stsClock, RequestClock: clock.RealClock{}})
	w.key = w.emulator.AddUser(account, "sts-operator")
	w.emulator.AddRole(stsemulator.Role{ARN: role, MaxSessionDuration: 12 * time.Hour, Trust: []stsemulator.Statement{{RAM: []string{operator}}}})
	w.server = httptest.NewServer(w.emulator)
	t.Cleanup(w.server.Close)
	w.restart()
	w.must(api.Create(w.ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: w.namespace}}))
	grant := &v1alpha1.StsRoleGrant{ObjectMeta: metav1.ObjectMeta{Name: w.namespace}, Spec: v1alpha1.StsRoleGrantSpec{
		Namespaces: v1alpha1.GrantNamespaces{Names: []v1alpha1.NamespaceName{v1alpha1.NamespaceName(w.namespace)}},
		RoleARNs:   []v1alpha1.RoleARNPattern{role},
	}}
	w.must(api.Create(w.ctx, grant))
	w.Cleanup(func() { _ = api.Delete(context.Background(), grant) })
	return w
}

// restart gives the world a new operator process: nothing is remembered.
func (w *world) restart() {
	w.Helper()
	metrics, early := stscredential.NewMetrics(), renewal.NewEarly()
	client, err := sts.New(sts.Options{Endpoint: w.server.URL, Timeout: 2 * time.Second, UserAgent: "test", Clock: w.clock, Observe: metrics.Called})
	w.must(err)
	fetch := func() (credentials.Credentials, error) {
		return credentials.Credentials{AccessKeyID: w.key.ID, AccessKeySecret: w.key.Secret}, nil
	}
	w.issuer = &stscredential.Reconciler{
		Client: cached, Live: virtualReader{api}, STS: client, Budget: ratelimit.NewBudget(1000, 1000, w.clock), Clock: w.clock, Events: w.events,
		Audit: logr.Discard(), Metrics: metrics, Early: early, TracksConsumers: true,
		Operator:   identity.NewOperator(identity.Options{NewFetch: func() identity.Fetch { return fetch }, STS: client, Clock: w.clock}),
		AccessKeys: identity.NewAccessKeys(identity.AccessKeysOptions{Reader: api, STS: client, Clock: w.clock}),
	}
	w.Reconciler = &Reconciler{
		Client: cached, APIReader: virtualReader{api}, Skew: client.Skew, Clock: w.clock, Events: w.events, Results: NewResults(), Early: early,
	}
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// credential creates an StsCredential for an hour of the role.
func (w *world) credential(name string, change ...func(*v1alpha1.StsCredential)) *v1alpha1.StsCredential {
	w.Helper()
	c := &v1alpha1.StsCredential{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name},
		Spec:       v1alpha1.StsCredentialSpec{RoleARN: role},
	}
	for _, f := range change {
		f(c)
	}
	w.must(api.Create(w.ctx, c))
	return c
}

// edit changes an StsCredential as a user would.
func (w *world) edit(c *v1alpha1.StsCredential, change func(*v1alpha1.StsCredential)) {
	w.Helper()
	w.must(api.Get(w.ctx, client.ObjectKeyFromObject(c), c))
	change(c)
	w.must(api.Update(w.ctx, c))
}

// user is somebody who may patch the StsCredentials of the world's namespace, and nothing else.
func (w *world) user(name string) client.Client {
	w.Helper()
	name = w.namespace + "-" + name
	w.must(api.Create(w.ctx, &rbacv1.Role{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name},
		Rules:      []rbacv1.PolicyRule{{APIGroups: []string{v1alpha1.GroupVersion.Group}, Resources: []string{"stscredentials"}, Verbs: []string{"get", "patch"}}},
	}))
	w.must(api.Create(w.ctx, &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: name},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: name}},
	}))
	theirs, err := plane.UserConfig(name)
	w.must(err)
	user, err := client.New(theirs, client.Options{Scheme: scheme})
	w.must(err)
	w.eventually("the user's rights are in force", func(ctx context.Context) bool {
		return apierrors.IsNotFound(user.Get(ctx, types.NamespacedName{Namespace: w.namespace, Name: "probe"}, &v1alpha1.StsCredential{}))
	})
	return user
}

func merge(patch string) client.Patch {
	return client.RawPatch("application/merge-patch+json", []byte(patch))
}

// secret reads a Secret live; nil if there is none.
func (w *world) secret(name string) *corev1.Secret {
	w.Helper()
	s := &corev1.Secret{}
	err := api.Get(w.ctx, types.NamespacedName{Namespace: w.namespace, Name: name}, s)
	if apierrors.IsNotFound(err) {
		return nil
	}
	w.must(err)
	return s
}

// pass reconciles an StsCredential once with each controller, each with a cache that is up to date, and reads what came of
// it. It returns the sooner of the times at which they reconcile again.
func (w *world) pass(c *v1alpha1.StsCredential) ctrl.Result {
	w.Helper()
	first := w.reconcile(w.issuer, c)
	second := w.reconcile(w.Reconciler, c)
	return ctrl.Result{RequeueAfter: soonest(first.RequeueAfter, second.RequeueAfter)}
}

// reconcile reconciles an StsCredential once with one controller.
func (w *world) reconcile(with interface {
	Reconcile(context.Context, ctrl.Request) (ctrl.Result, error)
}, c *v1alpha1.StsCredential,
) ctrl.Result {
	w.Helper()
	w.catchUp(c)
	result, err := with.Reconcile(w.ctx, requestFor(c))
	w.must(err)
	w.must(client.IgnoreNotFound(api.Get(w.ctx, client.ObjectKeyFromObject(c), c)))
	return result
}

func requestFor(c *v1alpha1.StsCredential) ctrl.Request {
	return ctrl.Request{NamespacedName: client.ObjectKeyFromObject(c)}
}

// told are the events since it was asked last.
func (w *world) told() (told []string) {
	for {
		select {
		case e := <-w.events.Events:
			told = append(told, e)
		default:
			return told
		}
	}
}

// step moves both clocks.
func (w *world) step(d time.Duration) {
	w.stsClock.Step(d)
	w.clock.Step(d)
}

// calls counts the sessions that STS was asked for.
func (w *world) calls() (n int) {
	for _, c := range w.emulator.Calls() {
		if c.Action == "AssumeRole" {
			n++
		}
	}
	return n
}

// wantCalls insists on how often STS was asked for a session.
func (w *world) wantCalls(want int) {
	w.Helper()
	if got := w.calls(); got != want {
		w.Errorf("AssumeRole was called %d times, want %d", got, want)
	}
}

// wantCondition insists on a condition; status "" means that it is absent.
func (w *world) wantCondition(c *v1alpha1.StsCredential, kind string, status metav1.ConditionStatus, reason, message string) {
	w.Helper()
	got := meta.FindStatusCondition(c.Status.Conditions, kind)
	if status == "" {
		if got != nil {
			w.Errorf("%s = %s %s %q, want none", kind, got.Status, got.Reason, got.Message)
		}
		return
	}
	if got == nil || got.Status != status || got.Reason != reason || !strings.Contains(got.Message, message) {
		w.Errorf("%s = %+v, want %s %s %q", kind, got, status, reason, message)
	}
}

// eventually polls until something is done.
func (w *world) eventually(what string, done func(context.Context) bool) {
	w.Helper()
	err := wait.PollUntilContextTimeout(w.ctx, 10*time.Millisecond, 90*time.Second, true, func(ctx context.Context) (bool, error) {
		return done(ctx), nil
	})
	if err != nil {
		w.Fatalf("waited in vain: %s", what)
	}
}

// catchUp waits until the cache shows what the API server has.
func (w *world) catchUp(c *v1alpha1.StsCredential) {
	w.Helper()
	w.eventually("the cache catches up", func(ctx context.Context) bool {
		namespace := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Name: c.Namespace}}
		namespace.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
		for _, object := range []client.Object{
			&v1alpha1.StsCredential{ObjectMeta: metav1.ObjectMeta{Namespace: c.Namespace, Name: c.Name}}, namespace,
			&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: c.Namespace, Name: c.SecretName()}},
			&v1alpha1.StsRoleGrant{ObjectMeta: metav1.ObjectMeta{Name: w.namespace}},
		} {
			seen := object.DeepCopyObject().(client.Object)
			errLive := api.Get(ctx, client.ObjectKeyFromObject(object), object)
			errSeen := cached.Get(ctx, client.ObjectKeyFromObject(object), seen)
			w.must(client.IgnoreNotFound(errors.Join(errLive, errSeen)))
			if _, isSecret := object.(*corev1.Secret); isSecret && errLive == nil && object.GetLabels()[secret.UIDLabel] == "" {
				errLive = apierrors.NewNotFound(corev1.Resource("secrets"), object.GetName()) // not the operator's to the cache
			}
			if (errLive == nil) != (errSeen == nil) || errLive == nil && object.GetResourceVersion() != seen.GetResourceVersion() {
				return false
			}
		}
		return true
	})
}

type cachedWithWatch struct{ client.Client }

func (cachedWithWatch) Watch(context.Context, client.ObjectList, ...client.ListOption) (watch.Interface, error) {
	return nil, errors.New("not watched here")
}
