// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stscredential

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
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

// world is one test's own: a namespace, a STS, a clock and an operator.
type world struct {
	*testing.T
	ctx       context.Context
	namespace string
	emulator  *stsemulator.Emulator
	key       stsemulator.AccessKey
	server    *httptest.Server
	stsClock  *clocktesting.FakeClock // STS's
	clock     *clocktesting.FakeClock // the operator's
	client    *sts.Client
	events    *events.FakeRecorder
	log       *logSink
	timeout   time.Duration // of a call to STS
	*Reconciler
}

// logSink keeps all that is logged.
type logSink struct {
	mu    sync.Mutex
	lines []string
}

func (l *logSink) logger() logr.Logger {
	return funcr.New(func(prefix, args string) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.lines = append(l.lines, prefix+" "+args)
	}, funcr.Options{})
}

func (l *logSink) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.lines, "\n")
}

var worlds int

// newWorld makes a namespace that is granted the role, and a STS that knows it.
func newWorld(t *testing.T) *world {
	t.Helper()
	worlds++
	start := time.Now().Truncate(time.Second)
	w := &world{
		T: t, ctx: t.Context(), namespace: fmt.Sprint("shop-", worlds),
		stsClock: clocktesting.NewFakeClock(start), clock: clocktesting.NewFakeClock(start),
		events: events.NewFakeRecorder(1000), log: &logSink{}, timeout: 2 * time.Second,
	}
	w.emulator = stsemulator.New(stsemulator.Options{Clock: w.stsClock, RequestClock: clock.RealClock{}})
	w.key = w.emulator.AddUser(account, "sts-operator")
	w.addRole(role)
	w.server = httptest.NewServer(w.emulator)
	t.Cleanup(w.server.Close)
	w.restart()
	w.must(api.Create(w.ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: w.namespace}}))
	w.grant(nil)
	return w
}

// patient makes calls that hang hang for longer than a test.
func (w *world) patient() {
	w.Helper()
	w.timeout = time.Minute
	w.restart()
}

// restart gives the world a new operator process: nothing is remembered.
func (w *world) restart() {
	w.Helper()
	metrics := NewMetrics()
	client, err := sts.New(sts.Options{Endpoint: w.server.URL, Timeout: w.timeout, UserAgent: "test", Clock: w.clock, Observe: metrics.Called})
	w.must(err)
	w.client = client
	newFetch := func() identity.Fetch {
		key := sync.OnceValue(func() stsemulator.AccessKey { return w.key }) // as a source that caches
		return func() (credentials.Credentials, error) {
			return credentials.Credentials{AccessKeyID: key().ID, AccessKeySecret: key().Secret}, nil
		}
	}
	w.Reconciler = &Reconciler{
		Client: cached, Live: virtualReader{api}, STS: client, Clock: w.clock, Events: w.events, Audit: w.log.logger(),
		Metrics:    metrics,
		Early:      renewal.NewEarly(),
		Operator:   identity.NewOperator(identity.Options{NewFetch: newFetch, STS: client, Clock: w.clock}),
		AccessKeys: identity.NewAccessKeys(identity.AccessKeysOptions{Reader: api, STS: client, Clock: w.clock}),
	}
	w.Budget = stsBudget(w, 1000, 1000)
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) addRole(arn string) {
	w.emulator.AddRole(stsemulator.Role{ARN: arn, MaxSessionDuration: 12 * time.Hour, Trust: []stsemulator.Statement{{RAM: []string{operator}}}})
}

// grant lets the namespace assume the role, within limits that change sets.
func (w *world) grant(change func(*v1alpha1.StsRoleGrantSpec)) *v1alpha1.StsRoleGrant {
	w.Helper()
	g := &v1alpha1.StsRoleGrant{ObjectMeta: metav1.ObjectMeta{Name: w.namespace}, Spec: v1alpha1.StsRoleGrantSpec{
		Namespaces: v1alpha1.GrantNamespaces{Names: []v1alpha1.NamespaceName{v1alpha1.NamespaceName(w.namespace)}},
		RoleARNs:   []v1alpha1.RoleARNPattern{role},
	}}
	if change != nil {
		change(&g.Spec)
	}
	existing := &v1alpha1.StsRoleGrant{}
	if err := api.Get(w.ctx, client.ObjectKeyFromObject(g), existing); err == nil {
		existing.Spec = g.Spec
		w.must(api.Update(w.ctx, existing))
		return existing
	}
	w.must(api.Create(w.ctx, g))
	w.Cleanup(func() { _ = api.Delete(context.Background(), g) })
	return g
}

func (w *world) revoke() {
	w.Helper()
	w.must(api.Delete(w.ctx, &v1alpha1.StsRoleGrant{ObjectMeta: metav1.ObjectMeta{Name: w.namespace}}))
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

// editSecret changes a Secret as somebody else would.
func (w *world) editSecret(name string, change func(*corev1.Secret)) {
	w.Helper()
	s := w.secret(name)
	change(s)
	w.must(api.Update(w.ctx, s))
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

// pass makes the operator look at an StsCredential once, with a cache that is up to date, and reads what came of it.
func (w *world) pass(c *v1alpha1.StsCredential) ctrl.Result {
	w.Helper()
	w.catchUp(c)
	result, err := w.Reconcile(w.ctx, ctrl.Request{NamespacedName: client.ObjectKeyFromObject(c)})
	w.must(err)
	w.must(client.IgnoreNotFound(api.Get(w.ctx, client.ObjectKeyFromObject(c), c)))
	return result
}

// passWithoutCatchingUp makes the operator look with whatever the cache shows.
func (w *world) passWithoutCatchingUp(c *v1alpha1.StsCredential) {
	w.Helper()
	_, err := w.Reconcile(w.ctx, ctrl.Request{NamespacedName: client.ObjectKeyFromObject(c)})
	w.must(err)
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

func stsBudget(w *world, qps float64, burst int) *ratelimit.Budget {
	budget := ratelimit.NewBudget(qps, burst, w.clock)
	budget.Observe(w.Metrics.Waited)
	return budget
}

// step moves both clocks.
func (w *world) step(d time.Duration) {
	w.stsClock.Step(d)
	w.clock.Step(d)
}

// counted counts the calls of an action that STS has seen.
func (w *world) counted(action string) int {
	n := 0
	for _, c := range w.emulator.Calls() {
		if c.Action == action {
			n++
		}
	}
	return n
}

func (w *world) calls() int { return w.counted("AssumeRole") }

// wantNotReady insists that a credential has nothing that works.
func (w *world) wantNotReady(c *v1alpha1.StsCredential) {
	w.Helper()
	if meta.IsStatusConditionTrue(c.Status.Conditions, v1alpha1.ConditionReady) || w.secret(c.SecretName()) != nil {
		w.Errorf("%s is ready", c.Name)
	}
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

// wantWorking insists that the Secret's triple works at STS and returns its AccessKeyId.
func (w *world) wantWorking(name string) string {
	w.Helper()
	s := w.secret(name)
	if s == nil {
		w.Fatalf("there is no Secret %s", name)
	}
	keys := credentials.Credentials{
		AccessKeyID:     string(s.Data[secret.KeyAccessKeyID]),
		AccessKeySecret: string(s.Data[secret.KeyAccessKeySecret]),
		SecurityToken:   string(s.Data[secret.KeySecurityToken]),
	}
	reader, err := sts.New(sts.Options{Endpoint: w.server.URL, Clock: w.clock})
	w.must(err)
	if _, err := reader.GetCallerIdentity(w.ctx, keys); err != nil {
		w.Errorf("the triple in Secret %s does not work: %v", name, err)
	}
	return keys.AccessKeyID
}

// catchUp waits until the cache shows what the API server has.
func (w *world) catchUp(c *v1alpha1.StsCredential) {
	w.Helper()
	err := wait.PollUntilContextTimeout(w.ctx, 2*time.Millisecond, 20*time.Second, true, func(ctx context.Context) (bool, error) {
		return w.caughtUp(ctx, c)
	})
	if err != nil {
		w.Fatalf("the cache does not catch up: %v", err)
	}
}

func (w *world) caughtUp(ctx context.Context, c *v1alpha1.StsCredential) (bool, error) {
	namespace := namespaceMetadata()
	namespace.Name = c.Namespace
	target := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: c.Namespace, Name: c.SecretName()}}
	for _, object := range []client.Object{&v1alpha1.StsCredential{ObjectMeta: metav1.ObjectMeta{Namespace: c.Namespace, Name: c.Name}}, namespace, target} {
		seen := object.DeepCopyObject().(client.Object)
		errLive := api.Get(ctx, client.ObjectKeyFromObject(object), object)
		errSeen := cached.Get(ctx, client.ObjectKeyFromObject(object), seen)
		if client.IgnoreNotFound(errors.Join(errLive, errSeen)) != nil {
			return false, errors.Join(errLive, errSeen)
		}
		if _, isSecret := object.(*corev1.Secret); isSecret && errLive == nil && object.GetLabels()[secret.UIDLabel] == "" {
			errLive = apierrors.NewNotFound(corev1.Resource("secrets"), object.GetName()) // not ours to the cache
		}
		if (errLive == nil) != (errSeen == nil) || errLive == nil && object.GetResourceVersion() != seen.GetResourceVersion() {
			return false, nil
		}
	}
	return grantsCaughtUp(ctx)
}

func grantsCaughtUp(ctx context.Context) (bool, error) {
	var live, seen v1alpha1.StsRoleGrantList
	if err := errors.Join(api.List(ctx, &live), cached.List(ctx, &seen)); err != nil {
		return false, err
	}
	versions := func(l v1alpha1.StsRoleGrantList) map[string]string {
		m := map[string]string{}
		for _, g := range l.Items {
			m[g.Name] = g.ResourceVersion
		}
		return m
	}
	return fmt.Sprint(versions(live)) == fmt.Sprint(versions(seen)), nil
}
