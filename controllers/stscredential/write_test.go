// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stscredential

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/retry"
	"github.com/stscredential/sts-credential-operator/internal/secret"
	"github.com/stscredential/sts-credential-operator/test/testenv"
)

// writeFault keeps the API server from taking our Secret, until it is lifted.
type writeFault struct {
	name    string
	message string
	cause   func(env *environment) (lift func())
}

// waitForRefusal waits until an obstacle stands: Secrets of the name probe are refused, too.
func (env *environment) waitForRefusal(probe string) {
	env.Helper()
	env.Eventually("the obstacle stands", func(ctx context.Context) bool {
		s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: env.Namespace, Name: probe}}
		return api.Create(ctx, s, client.DryRunAll) != nil
	})
}

var writeFaults = []writeFault{
	{"quota", "exceeded quota", func(env *environment) func() {
		q := &corev1.ResourceQuota{
			ObjectMeta: metav1.ObjectMeta{Namespace: env.Namespace, Name: "none"},
			Spec:       corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{"count/secrets": resource.MustParse("0")}},
		}
		env.Must(api.Create(env.Context(), q))
		env.waitForRefusal("probe")
		return func() { env.Must(api.Delete(env.Context(), q)) }
	}},
	{"an admission policy", "ValidatingAdmissionPolicy", func(env *environment) func() {
		policy := &admissionv1.ValidatingAdmissionPolicy{
			ObjectMeta: metav1.ObjectMeta{Name: env.Namespace},
			Spec: admissionv1.ValidatingAdmissionPolicySpec{
				FailurePolicy: ptr.To(admissionv1.Fail),
				MatchConstraints: &admissionv1.MatchResources{
					NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": env.Namespace}},
					ResourceRules: []admissionv1.NamedRuleWithOperations{{RuleWithOperations: admissionv1.RuleWithOperations{
						Operations: []admissionv1.OperationType{admissionv1.Create, admissionv1.Update},
						Rule:       admissionv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"secrets"}},
					}}},
				},
				// It quotes what it refuses, as bad policies do.
				Validations: []admissionv1.Validation{{
					Expression:        "false",
					MessageExpression: "'no credentials here: ' + (has(object.data) ? string(object.data[?'" + secret.KeySecurityToken + "'].orValue('')) : '')",
				}},
			},
		}
		binding := &admissionv1.ValidatingAdmissionPolicyBinding{
			ObjectMeta: metav1.ObjectMeta{Name: env.Namespace},
			Spec:       admissionv1.ValidatingAdmissionPolicyBindingSpec{PolicyName: env.Namespace, ValidationActions: []admissionv1.ValidationAction{admissionv1.Deny}},
		}
		env.Must(api.Create(env.Context(), policy))
		env.Must(api.Create(env.Context(), binding))
		env.waitForRefusal("probe")
		return func() {
			env.Must(errors.Join(api.Delete(env.Context(), binding), api.Delete(env.Context(), policy)))
		}
	}},
}

// waitForAcceptance waits until the API server would take the Secret again.
func (env *environment) waitForAcceptance(name string) {
	env.Helper()
	env.Eventually("the obstacle is lifted", func(ctx context.Context) bool {
		s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: env.Namespace, Name: name}}
		return api.Create(ctx, s, client.DryRunAll) == nil
	})
}

func TestFirstWriteFails(t *testing.T) {
	for _, tt := range writeFaults {
		t.Run(tt.name, func(t *testing.T) {
			env := newEnvironment(t)
			lift := tt.cause(env)
			c := env.CreateCredential("orders")
			env.reconcile(c)
			env.WantCalls(1)
			env.WantCondition(c, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonSecretWriteFailed, tt.message)
			env.WantCondition(c, v1alpha1.ConditionStalled, metav1.ConditionTrue, v1alpha1.ReasonSecretWriteFailed, "")
			if message := c.Status.Conditions[0].Message; strings.Contains(message, "no credentials here") {
				t.Errorf("what the API server said was reported: %s", message)
			}
			for range 5 {
				env.Step(env.reconcile(c).RequeueAfter)
			}
			env.WantCalls(1)
			if env.Secret("orders") != nil {
				t.Fatal("a Secret stands")
			}
			// Another request would need another session: it is not asked for before a dry run passes.
			env.Edit(c, func(c *v1alpha1.StsCredential) { c.Spec.ExternalID = "ext" })
			env.reconcile(c)
			env.WantCalls(1)
			env.WantCondition(c, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonSecretWriteFailed, tt.message)
			env.Edit(c, func(c *v1alpha1.StsCredential) { c.Spec.ExternalID = "" })
			lift()
			env.waitForAcceptance("orders")
			env.Step(time.Minute)
			env.reconcile(c)
			env.WantCalls(2) // the session in hand was given up with its request
			env.WantCondition(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
			env.wantWorking("orders")
		})
	}
}

func TestRenewalCannotBeWritten(t *testing.T) {
	env := newEnvironment(t)
	c := env.CreateCredential("orders")
	env.reconcile(c)
	env.EditSecret("orders", func(s *corev1.Secret) { s.Immutable = ptr.To(true) })
	before := env.Secret("orders")
	env.Step(45 * time.Minute)
	for range 5 {
		env.Step(env.reconcile(c).RequeueAfter)
	}
	env.WantCalls(2)
	env.WantCondition(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
	env.WantCondition(c, v1alpha1.ConditionRenewalFailing, metav1.ConditionTrue, v1alpha1.ReasonSecretWriteFailed, "immutable")
	if got := env.Secret("orders"); got.ResourceVersion != before.ResourceVersion {
		t.Error("the immutable Secret was written to")
	}
	env.Must(api.Delete(env.Context(), before))
	env.Step(time.Minute)
	env.reconcile(c)
	env.WantCalls(2) // the session in hand is written
	env.wantWorking("orders")
	env.WantCondition(c, v1alpha1.ConditionRenewalFailing, "", "", "")
}

func TestNamespaceEnding(t *testing.T) {
	env := newEnvironment(t)
	c := env.CreateCredential("orders", func(c *v1alpha1.StsCredential) { c.Finalizers = []string{"example.com/hold"} })
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: env.Namespace}}
	env.Must(api.Delete(env.Context(), namespace))
	env.reconcile(c)
	env.WantCalls(0)
	if c.DeletionTimestamp.IsZero() {
		env.WantCondition(c, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonSecretWriteFailed, "is being deleted")
	}
	env.Edit(c, func(c *v1alpha1.StsCredential) { c.Finalizers = nil })
}

// Whatever happens between the steps of a reconcile, a new process finishes what was not done and asks STS for nothing that
// is good.
func TestKilledBetweenSteps(t *testing.T) {
	killed := errors.New("killed")
	for _, tt := range []struct {
		name  string
		funcs interceptor.Funcs
		calls int
	}{
		{"before the Secret is written", interceptor.Funcs{
			Create: func(context.Context, client.WithWatch, client.Object, ...client.CreateOption) error { return killed },
		}, 2},
		{"after the Secret is written", interceptor.Funcs{
			SubResourceUpdate: func(context.Context, client.Client, string, client.Object, ...client.SubResourceUpdateOption) error {
				return killed
			},
		}, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			env := newEnvironment(t)
			env.Client = testenv.Intercept(cached, tt.funcs)
			c := env.CreateCredential("orders")
			env.WaitForCache(c)
			if _, err := env.Reconcile(env.Context(), requestFor(c)); err != nil && !errors.Is(err, killed) {
				t.Fatal(err)
			}
			env.WantCalls(1)

			env.restartOperator()
			env.reconcile(c)
			env.WantCalls(tt.calls)
			env.WantCondition(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
			if id := env.wantWorking("orders"); id != c.Status.AccessKeyID {
				t.Errorf("the status names %s, the Secret holds %s", c.Status.AccessKeyID, id)
			}
		})
	}
}

// Somebody writes to the Secret between the read and the write: the write is repeated on what stands there now, without
// another call; a Secret that has become somebody else's is left alone.
func TestWriteRaces(t *testing.T) {
	race := func(env *environment, change func(s *corev1.Secret)) {
		once := false
		env.Client = testenv.Intercept(cached, interceptor.Funcs{
			Patch: func(ctx context.Context, c client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
				if !once {
					once = true
					env.EditSecret("orders", change)
				}
				return c.Patch(ctx, o, p, opts...)
			},
		})
	}
	t.Run("still the operator's", func(t *testing.T) {
		env := newEnvironment(t)
		c := env.CreateCredential("orders")
		env.reconcile(c)
		race(env, func(s *corev1.Secret) { s.Data["other"] = []byte("x") })
		env.Step(45 * time.Minute)
		env.reconcile(c)
		env.WantCalls(2)
		if id := env.wantWorking("orders"); id != c.Status.AccessKeyID || string(env.Secret("orders").Data["other"]) != "x" {
			t.Errorf("the Secret holds %s and %d keys, the status names %s", id, len(env.Secret("orders").Data), c.Status.AccessKeyID)
		}
	})
	t.Run("somebody else's", func(t *testing.T) {
		env := newEnvironment(t)
		c := env.CreateCredential("orders")
		env.reconcile(c)
		race(env, func(s *corev1.Secret) { s.Labels, s.OwnerReferences, s.Annotations = nil, nil, nil })
		before := string(env.Secret("orders").Data[secret.KeyAccessKeyID])
		env.Step(45 * time.Minute)
		env.reconcile(c)
		env.WantCondition(c, v1alpha1.ConditionRenewalFailing, metav1.ConditionTrue, v1alpha1.ReasonSecretConflict, "")
		if got := string(env.Secret("orders").Data[secret.KeyAccessKeyID]); got != before {
			t.Error("a foreign Secret was written to")
		}
	})
}

// A process that was stopped while another went on does not write over that one's status.
func TestOldViewIsNotTold(t *testing.T) {
	env := newEnvironment(t)
	c := env.CreateCredential("orders")
	env.reconcile(c)
	env.Step(45 * time.Minute)
	env.WaitForCache(c)
	reported := c.DeepCopy()
	reported.Status.RequestID = "another's"
	env.Must(api.Status().Update(env.Context(), reported))
	env.Client = testenv.Intercept(cached, interceptor.Funcs{
		Get: func(ctx context.Context, cl client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
			if old, ok := o.(*v1alpha1.StsCredential); ok {
				c.DeepCopyInto(old)
				return nil
			}
			return cl.Get(ctx, key, o, opts...)
		},
	})
	result, err := env.Reconcile(env.Context(), requestFor(c))
	if err != nil || result.RequeueAfter != retry.WriteConflict {
		t.Errorf("requeue after %s, %v", result.RequeueAfter, err)
	}
	env.Must(api.Get(env.Context(), client.ObjectKeyFromObject(c), reported))
	if is := reported.Status.RequestID; is != "another's" {
		t.Errorf("the status of the other process is replaced by %q", is)
	}
}
