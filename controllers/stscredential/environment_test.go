// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stscredential

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"k8s.io/apimachinery/pkg/api/meta"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/credentials"
	"github.com/stscredential/sts-credential-operator/internal/metrics"
	"github.com/stscredential/sts-credential-operator/internal/ratelimit"
	"github.com/stscredential/sts-credential-operator/internal/renewal"
	"github.com/stscredential/sts-credential-operator/internal/secret"
	"github.com/stscredential/sts-credential-operator/internal/sts"
	"github.com/stscredential/sts-credential-operator/test/testenv"
)

const (
	account  = testenv.Account
	role     = testenv.Role
	operator = testenv.Operator
)

// environment is what one test has for itself: a namespace, an STS, clocks and an operator.
type environment struct {
	*testenv.Environment
	stsClient  *sts.Client
	log        *logSink
	stsTimeout time.Duration // of a call to STS
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

func newEnvironment(t *testing.T) *environment {
	t.Helper()
	env := &environment{Environment: testenv.New(t, cluster), log: &logSink{}, stsTimeout: 2 * time.Second}
	env.restartOperator()
	return env
}

// raiseTimeout makes calls to STS that hang outlast the test.
func (env *environment) raiseTimeout() {
	env.Helper()
	env.stsTimeout = time.Minute
	env.restartOperator()
}

// restartOperator replaces the operator by a new process, which has no state.
func (env *environment) restartOperator() {
	env.Helper()
	counts := metrics.New()
	env.stsClient = env.NewSTSClient(env.stsTimeout, counts.Called)
	env.Reconciler = &Reconciler{
		Client: cached, APIReader: cluster.APIReader(), STS: env.stsClient, Clock: env.OperatorClock, Events: env.Recorder, Audit: env.log.logger(),
		Metrics: counts, Early: renewal.NewEarly(), Operator: env.NewOperator(env.stsClient), AccessKeys: env.NewAccessKeys(env.stsClient),
	}
	env.Budget = stsBudget(env, 1000, 1000)
}

// reconcile reconciles an StsCredential once, with a cache that is up to date, and reads it again.
func (env *environment) reconcile(c *v1alpha1.StsCredential) ctrl.Result {
	env.Helper()
	env.WaitForCache(c)
	result, err := env.Reconcile(env.Context(), requestFor(c))
	env.Must(err)
	env.Must(client.IgnoreNotFound(api.Get(env.Context(), client.ObjectKeyFromObject(c), c)))
	return result
}

// reconcileStale reconciles an StsCredential once, with whatever the cache shows.
func (env *environment) reconcileStale(c *v1alpha1.StsCredential) {
	env.Helper()
	_, err := env.Reconcile(env.Context(), requestFor(c))
	env.Must(err)
}

func requestFor(c *v1alpha1.StsCredential) ctrl.Request {
	return ctrl.Request{NamespacedName: client.ObjectKeyFromObject(c)}
}

func stsBudget(env *environment, qps float64, burst int) *ratelimit.Budget {
	budget := ratelimit.NewBudget(qps, burst, env.OperatorClock)
	budget.Observe(env.Metrics.Waited)
	return budget
}

// wantNotReady requires that an StsCredential is not Ready and has no Secret.
func (env *environment) wantNotReady(c *v1alpha1.StsCredential) {
	env.Helper()
	if meta.IsStatusConditionTrue(c.Status.Conditions, v1alpha1.ConditionReady) || env.Secret(c.SecretName()) != nil {
		env.Errorf("%s is ready", c.Name)
	}
}

// wantWorking requires that the credentials in a Secret work at STS, and returns their AccessKey ID.
func (env *environment) wantWorking(name string) string {
	env.Helper()
	s := env.Secret(name)
	if s == nil {
		env.Fatalf("there is no Secret %s", name)
	}
	keys := credentials.Credentials{
		AccessKeyID:     string(s.Data[secret.KeyAccessKeyID]),
		AccessKeySecret: string(s.Data[secret.KeyAccessKeySecret]),
		SecurityToken:   string(s.Data[secret.KeySecurityToken]),
	}
	if _, err := env.NewSTSClient(0, nil).GetCallerIdentity(env.Context(), keys); err != nil {
		env.Errorf("the credentials in Secret %s do not work: %v", name, err)
	}
	return keys.AccessKeyID
}
