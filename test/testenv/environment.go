// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package testenv

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/credentials"
	"github.com/stscredential/sts-credential-operator/internal/identity"
	"github.com/stscredential/sts-credential-operator/internal/secret"
	"github.com/stscredential/sts-credential-operator/internal/sts"
	"github.com/stscredential/sts-credential-operator/test/fixture"
	"github.com/stscredential/sts-credential-operator/test/stsemulator"
)

// The account, the role that the namespace of a test may assume, and the RAM user of the operator.
const (
	Account  = "1234567890123456"
	Role     = "acs:ram::" + Account + ":role/orders-reader"
	Operator = "acs:ram::" + Account + ":user/sts-operator"
)

// Environment is what one test has for itself: a namespace, an STS and clocks.
type Environment struct {
	*testing.T
	Cluster   *Cluster
	Namespace string
	Emulator  *stsemulator.Emulator
	Server    *httptest.Server
	// OperatorKey is the AccessKey that the operator calls STS with.
	OperatorKey stsemulator.AccessKey
	// STSClock is the clock of STS, OperatorClock that of the operator.
	STSClock, OperatorClock *clocktesting.FakeClock
	Recorder                *events.FakeRecorder
}

var environments atomic.Int64

// New creates a namespace that is granted Role, and an STS that knows the role.
func New(t *testing.T, cluster *Cluster) *Environment {
	t.Helper()
	start := time.Now().Truncate(time.Second)
	e := &Environment{
		T: t, Cluster: cluster, Namespace: fmt.Sprint("shop-", environments.Add(1)),
		STSClock: clocktesting.NewFakeClock(start), OperatorClock: clocktesting.NewFakeClock(start), Recorder: events.NewFakeRecorder(1000),
	}
	e.Emulator = stsemulator.New(stsemulator.Options{Clock: e.STSClock, RequestClock: clock.RealClock{}})
	e.OperatorKey = e.Emulator.AddUser(Account, "sts-operator")
	e.AddRole(Role)
	e.Server = httptest.NewServer(e.Emulator)
	t.Cleanup(e.Server.Close)
	e.Must(cluster.API.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: e.Namespace}}))
	e.Grant(nil)
	return e
}

// Must ends the test if there is an error.
func (e *Environment) Must(err error) {
	e.Helper()
	if err != nil {
		e.Fatal(err)
	}
}

// AddRole adds a role that trusts the operator.
func (e *Environment) AddRole(arn string) {
	trust := []stsemulator.Statement{{RAM: []string{Operator}}}
	e.Emulator.AddRole(stsemulator.Role{ARN: arn, MaxSessionDuration: 12 * time.Hour, Trust: trust})
}

// NewSTSClient returns the client of a new operator process.
func (e *Environment) NewSTSClient(timeout time.Duration, observe func(action, code string, took time.Duration)) *sts.Client {
	e.Helper()
	c, err := sts.New(sts.Options{Endpoint: e.Server.URL, Timeout: timeout, UserAgent: "test", Clock: e.OperatorClock, Observe: observe})
	e.Must(err)
	return c
}

// NewOperator returns the identity of a new operator process. Like a source that caches, it reads OperatorKey once.
func (e *Environment) NewOperator(c *sts.Client) *identity.Operator {
	newFetch := func() identity.Fetch {
		key := sync.OnceValue(func() stsemulator.AccessKey { return e.OperatorKey })
		return func() (credentials.Credentials, error) {
			return credentials.Credentials{AccessKeyID: key().ID, AccessKeySecret: key().Secret}, nil
		}
	}
	return identity.NewOperator(identity.Options{NewFetch: newFetch, STS: c, Clock: e.OperatorClock})
}

// NewAccessKeys returns the AccessKeys that a new operator process reads from Secrets.
func (e *Environment) NewAccessKeys(c *sts.Client) *identity.AccessKeys {
	return identity.NewAccessKeys(identity.AccessKeysOptions{Reader: e.Cluster.API, STS: c, Clock: e.OperatorClock})
}

// Login returns a client of a user, without a cache.
func (e *Environment) Login(user string, groups ...string) client.Client {
	e.Helper()
	c, err := e.Cluster.Login(user, groups...)
	e.Must(err)
	return c
}

// Grant lets the namespace assume Role, within limits that change sets.
func (e *Environment) Grant(change func(*v1alpha1.StsRoleGrantSpec)) *v1alpha1.StsRoleGrant {
	e.Helper()
	g := GrantTo(e.Namespace)
	if change != nil {
		change(&g.Spec)
	}
	existing := &v1alpha1.StsRoleGrant{}
	if err := e.Cluster.API.Get(e.Context(), client.ObjectKeyFromObject(g), existing); err == nil {
		existing.Spec = g.Spec
		e.Must(e.Cluster.API.Update(e.Context(), existing))
		return existing
	}
	e.CreateUntilEnd(g)
	return g
}

// GrantTo returns a grant of Role to a namespace, whose name it bears.
func GrantTo(namespace string) *v1alpha1.StsRoleGrant {
	return fixture.Grant(namespace, Role, namespace)
}

// CreateUntilEnd creates an object, and deletes it when the test ends.
func (e *Environment) CreateUntilEnd(o client.Object) {
	e.Helper()
	e.Must(e.Cluster.API.Create(e.Context(), o))
	e.Cleanup(func() { _ = e.Cluster.API.Delete(context.Background(), o) })
}

// Revoke deletes the grant.
func (e *Environment) Revoke() {
	e.Helper()
	e.Must(e.Cluster.API.Delete(e.Context(), GrantTo(e.Namespace)))
}

// NewCredential returns an StsCredential that requests Role for an hour.
func (e *Environment) NewCredential(name string, change ...func(*v1alpha1.StsCredential)) *v1alpha1.StsCredential {
	c := &v1alpha1.StsCredential{
		ObjectMeta: metav1.ObjectMeta{Namespace: e.Namespace, Name: name}, Spec: v1alpha1.StsCredentialSpec{RoleARN: Role},
	}
	for _, f := range change {
		f(c)
	}
	return c
}

// CreateCredential creates such an StsCredential.
func (e *Environment) CreateCredential(name string, change ...func(*v1alpha1.StsCredential)) *v1alpha1.StsCredential {
	e.Helper()
	c := e.NewCredential(name, change...)
	e.Must(e.Cluster.API.Create(e.Context(), c))
	return c
}

// Edit changes an StsCredential as a user would.
func (e *Environment) Edit(c *v1alpha1.StsCredential, change func(*v1alpha1.StsCredential)) {
	e.Helper()
	e.Must(e.Cluster.API.Get(e.Context(), client.ObjectKeyFromObject(c), c))
	change(c)
	e.Must(e.Cluster.API.Update(e.Context(), c))
}

// Secret reads a Secret past the cache; nil if there is none.
func (e *Environment) Secret(name string) *corev1.Secret {
	e.Helper()
	s := &corev1.Secret{}
	err := e.Cluster.API.Get(e.Context(), types.NamespacedName{Namespace: e.Namespace, Name: name}, s)
	if apierrors.IsNotFound(err) {
		return nil
	}
	e.Must(err)
	return s
}

// EditSecret changes a Secret as another client would.
func (e *Environment) EditSecret(name string, change func(*corev1.Secret)) {
	e.Helper()
	s := e.Secret(name)
	change(s)
	e.Must(e.Cluster.API.Update(e.Context(), s))
}

// RecordedEvents returns the events since the last call.
func (e *Environment) RecordedEvents() (recorded []string) {
	for {
		select {
		case event := <-e.Recorder.Events:
			recorded = append(recorded, event)
		default:
			return recorded
		}
	}
}

// Step moves both clocks.
func (e *Environment) Step(d time.Duration) {
	e.STSClock.Step(d)
	e.OperatorClock.Step(d)
}

// SetServerSkew sets by how much the API server's clock is ahead of the operator's.
func (e *Environment) SetServerSkew(skew time.Duration) { serverSkews.Store(e.Namespace, skew) }

// UseServerTime keeps the real times of the API server.
func (e *Environment) UseServerTime() { serverSkews.Store(e.Namespace, serverTime) }

// CallsTo counts the calls of an action.
func (e *Environment) CallsTo(action string) (n int) {
	for _, c := range e.Emulator.Calls() {
		if c.Action == action {
			n++
		}
	}
	return n
}

// Calls counts the calls of AssumeRole.
func (e *Environment) Calls() int { return e.CallsTo("AssumeRole") }

// WantCalls requires a number of calls of AssumeRole.
func (e *Environment) WantCalls(want int) {
	e.Helper()
	if got := e.Calls(); got != want {
		e.Errorf("AssumeRole was called %d times, want %d", got, want)
	}
}

// WantCondition requires a condition; status "" means that it is absent.
func (e *Environment) WantCondition(c *v1alpha1.StsCredential, kind string, status metav1.ConditionStatus, reason, message string) {
	e.Helper()
	got := meta.FindStatusCondition(c.Status.Conditions, kind)
	if status == "" {
		if got != nil {
			e.Errorf("%s = %s %s %q, want none", kind, got.Status, got.Reason, got.Message)
		}
		return
	}
	if got == nil || got.Status != status || got.Reason != reason || !strings.Contains(got.Message, message) {
		e.Errorf("%s = %+v, want %s %s %q", kind, got, status, reason, message)
	}
}

// Eventually polls until something is done.
func (e *Environment) Eventually(what string, done func(context.Context) bool) {
	e.Helper()
	err := wait.PollUntilContextTimeout(e.Context(), 10*time.Millisecond, 90*time.Second, true, func(ctx context.Context) (bool, error) {
		return done(ctx), nil
	})
	if err != nil {
		e.Fatalf("timed out: %s", what)
	}
}

// WaitForCache waits until the cache shows what the API server has of an StsCredential, its namespace and Secret, and all grants.
func (e *Environment) WaitForCache(c *v1alpha1.StsCredential) {
	e.Helper()
	err := wait.PollUntilContextTimeout(e.Context(), 2*time.Millisecond, 90*time.Second, true, func(ctx context.Context) (bool, error) {
		return e.Cluster.isCached(ctx, c)
	})
	if err != nil {
		e.Fatalf("the cache does not catch up: %v", err)
	}
}

func (c *Cluster) isCached(ctx context.Context, credential *v1alpha1.StsCredential) (bool, error) {
	namespace := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Name: credential.Namespace}}
	namespace.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	for _, object := range []client.Object{
		&v1alpha1.StsCredential{ObjectMeta: metav1.ObjectMeta{Namespace: credential.Namespace, Name: credential.Name}}, namespace,
		&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: credential.Namespace, Name: credential.SecretName()}},
	} {
		cached := object.DeepCopyObject().(client.Object)
		errLive := c.API.Get(ctx, client.ObjectKeyFromObject(object), object)
		errCached := c.Cached.Get(ctx, client.ObjectKeyFromObject(object), cached)
		if client.IgnoreNotFound(errors.Join(errLive, errCached)) != nil {
			return false, errors.Join(errLive, errCached)
		}
		if _, isSecret := object.(*corev1.Secret); isSecret && errLive == nil && object.GetLabels()[secret.UIDLabel] == "" {
			errLive = apierrors.NewNotFound(corev1.Resource("secrets"), object.GetName()) // the cache selects by this label
		}
		if (errLive == nil) != (errCached == nil) || errLive == nil && object.GetResourceVersion() != cached.GetResourceVersion() {
			return false, nil
		}
	}
	return c.grantsAreCached(ctx)
}

func (c *Cluster) grantsAreCached(ctx context.Context) (bool, error) {
	var live, cached v1alpha1.StsRoleGrantList
	if err := errors.Join(c.API.List(ctx, &live), c.Cached.List(ctx, &cached)); err != nil {
		return false, err
	}
	versions := func(l v1alpha1.StsRoleGrantList) map[string]string {
		m := map[string]string{}
		for _, g := range l.Items {
			m[g.Name] = g.ResourceVersion
		}
		return m
	}
	return fmt.Sprint(versions(live)) == fmt.Sprint(versions(cached)), nil
}
