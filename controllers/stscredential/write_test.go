// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stscredential

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/secret"
)

// obstacle keeps the API server from taking our Secret, until it is lifted.
type obstacle struct {
	name    string
	message string
	raise   func(w *world) (lift func())
}

// raised waits until an obstacle stands: Secrets of the name probe are refused, too.
func (w *world) raised(probe string) {
	w.Helper()
	w.eventually("the obstacle stands", func(ctx context.Context) bool {
		s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: probe}}
		return api.Create(ctx, s, client.DryRunAll) != nil
	})
}

var obstacles = []obstacle{
	{"quota", "exceeded quota", func(w *world) func() {
		q := &corev1.ResourceQuota{
			ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "none"},
			Spec:       corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{"count/secrets": resource.MustParse("0")}},
		}
		w.must(api.Create(w.ctx, q))
		w.raised("probe")
		return func() { w.must(api.Delete(w.ctx, q)) }
	}},
	{"an admission policy", "ValidatingAdmissionPolicy", func(w *world) func() {
		policy := &admissionv1.ValidatingAdmissionPolicy{
			ObjectMeta: metav1.ObjectMeta{Name: w.namespace},
			Spec: admissionv1.ValidatingAdmissionPolicySpec{
				FailurePolicy: ptr.To(admissionv1.Fail),
				MatchConstraints: &admissionv1.MatchResources{
					NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": w.namespace}},
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
			ObjectMeta: metav1.ObjectMeta{Name: w.namespace},
			Spec:       admissionv1.ValidatingAdmissionPolicyBindingSpec{PolicyName: w.namespace, ValidationActions: []admissionv1.ValidationAction{admissionv1.Deny}},
		}
		w.must(api.Create(w.ctx, policy))
		w.must(api.Create(w.ctx, binding))
		w.raised("probe")
		return func() {
			w.must(errors.Join(api.Delete(w.ctx, binding), api.Delete(w.ctx, policy)))
		}
	}},
}

// lifted waits until the API server would take the Secret again.
func (w *world) lifted(name string) {
	w.Helper()
	w.eventually("the obstacle is lifted", func(ctx context.Context) bool {
		s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name}}
		return api.Create(ctx, s, client.DryRunAll) == nil
	})
}

func TestFirstWriteFails(t *testing.T) {
	for _, tt := range obstacles {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			lift := tt.raise(w)
			c := w.credential("orders")
			w.pass(c)
			w.wantCalls(1)
			w.wantCondition(c, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonSecretWriteFailed, tt.message)
			w.wantCondition(c, v1alpha1.ConditionStalled, metav1.ConditionTrue, v1alpha1.ReasonSecretWriteFailed, "")
			if message := c.Status.Conditions[0].Message; strings.Contains(message, "no credentials here") {
				t.Errorf("what the API server said was told: %s", message)
			}
			for range 5 {
				w.step(w.pass(c).RequeueAfter)
			}
			w.wantCalls(1)
			if w.secret("orders") != nil {
				t.Fatal("a Secret stands")
			}
			// Another request would need another session: it is not asked for before a dry run passes.
			w.edit(c, func(c *v1alpha1.StsCredential) { c.Spec.ExternalID = "ext" })
			w.pass(c)
			w.wantCalls(1)
			w.wantCondition(c, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonSecretWriteFailed, tt.message)
			w.edit(c, func(c *v1alpha1.StsCredential) { c.Spec.ExternalID = "" })
			lift()
			w.lifted("orders")
			w.step(time.Minute)
			w.pass(c)
			w.wantCalls(2) // the session in hand was given up with its request
			w.wantCondition(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
			w.wantWorking("orders")
		})
	}
}

func TestRenewalCannotBeWritten(t *testing.T) {
	w := newWorld(t)
	c := w.credential("orders")
	w.pass(c)
	w.editSecret("orders", func(s *corev1.Secret) { s.Immutable = ptr.To(true) })
	before := w.secret("orders")
	w.step(45 * time.Minute)
	for range 5 {
		w.step(w.pass(c).RequeueAfter)
	}
	w.wantCalls(2)
	w.wantCondition(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
	w.wantCondition(c, v1alpha1.ConditionRenewalFailing, metav1.ConditionTrue, v1alpha1.ReasonSecretWriteFailed, "immutable")
	if got := w.secret("orders"); got.ResourceVersion != before.ResourceVersion {
		t.Error("the immutable Secret was written to")
	}
	w.must(api.Delete(w.ctx, before))
	w.step(time.Minute)
	w.pass(c)
	w.wantCalls(2) // the session in hand is written
	w.wantWorking("orders")
	w.wantCondition(c, v1alpha1.ConditionRenewalFailing, "", "", "")
}

func TestNamespaceEnding(t *testing.T) {
	w := newWorld(t)
	c := w.credential("orders", func(c *v1alpha1.StsCredential) { c.Finalizers = []string{"example.com/hold"} })
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: w.namespace}}
	w.must(api.Delete(w.ctx, namespace))
	w.pass(c)
	w.wantCalls(0)
	if c.DeletionTimestamp.IsZero() {
		w.wantCondition(c, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonSecretWriteFailed, "is being deleted")
	}
	w.edit(c, func(c *v1alpha1.StsCredential) { c.Finalizers = nil })
}

// Whatever happens between the steps of a pass, a new process finishes what was not done and asks STS for nothing that
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
			w := newWorld(t)
			w.Client = interceptor.NewClient(cachedWithWatch{cached}, tt.funcs)
			c := w.credential("orders")
			w.catchUp(c)
			if _, err := w.Reconcile(w.ctx, requestFor(c)); err != nil && !errors.Is(err, killed) {
				t.Fatal(err)
			}
			w.wantCalls(1)

			w.restart()
			w.pass(c)
			w.wantCalls(tt.calls)
			w.wantCondition(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
			if id := w.wantWorking("orders"); id != c.Status.AccessKeyID {
				t.Errorf("status tells of %s, the Secret holds %s", c.Status.AccessKeyID, id)
			}
		})
	}
}

// Somebody writes to the Secret between the look and the write: the write is repeated on what stands there now, without
// another call; a Secret that has become somebody else's is left alone.
func TestWriteRaces(t *testing.T) {
	race := func(w *world, meddle func(s *corev1.Secret)) {
		once := false
		w.Client = interceptor.NewClient(cachedWithWatch{cached}, interceptor.Funcs{
			Patch: func(ctx context.Context, c client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
				if !once {
					once = true
					w.editSecret("orders", meddle)
				}
				return c.Patch(ctx, o, p, opts...)
			},
		})
	}
	t.Run("still ours", func(t *testing.T) {
		w := newWorld(t)
		c := w.credential("orders")
		w.pass(c)
		race(w, func(s *corev1.Secret) { s.Data["other"] = []byte("x") })
		w.step(45 * time.Minute)
		w.pass(c)
		w.wantCalls(2)
		if id := w.wantWorking("orders"); id != c.Status.AccessKeyID || string(w.secret("orders").Data["other"]) != "x" {
			t.Errorf("the Secret holds %s and %d keys, status tells of %s", id, len(w.secret("orders").Data), c.Status.AccessKeyID)
		}
	})
	t.Run("somebody else's", func(t *testing.T) {
		w := newWorld(t)
		c := w.credential("orders")
		w.pass(c)
		race(w, func(s *corev1.Secret) { s.Labels, s.OwnerReferences, s.Annotations = nil, nil, nil })
		before := string(w.secret("orders").Data[secret.KeyAccessKeyID])
		w.step(45 * time.Minute)
		w.pass(c)
		w.wantCondition(c, v1alpha1.ConditionRenewalFailing, metav1.ConditionTrue, v1alpha1.ReasonSecretConflict, "")
		if got := string(w.secret("orders").Data[secret.KeyAccessKeyID]); got != before {
			t.Error("a Secret that is not ours was written to")
		}
	})
}

// cachedWithWatch lets the cached client be intercepted; nothing here watches through it.
type cachedWithWatch struct{ client.Client }

func (cachedWithWatch) Watch(context.Context, client.ObjectList, ...client.ListOption) (watch.Interface, error) {
	return nil, fmt.Errorf("not watched here")
}

// A process that was stopped while another went on does not write over what that one has told.
func TestOldViewIsNotTold(t *testing.T) {
	w := newWorld(t)
	c := w.credential("orders")
	w.pass(c)
	w.step(45 * time.Minute)
	w.catchUp(c)
	told := c.DeepCopy()
	told.Status.RequestID = "another's"
	w.must(api.Status().Update(w.ctx, told))
	w.Client = interceptor.NewClient(cachedWithWatch{cached}, interceptor.Funcs{
		Get: func(ctx context.Context, cl client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
			if old, ok := o.(*v1alpha1.StsCredential); ok {
				c.DeepCopyInto(old)
				return nil
			}
			return cl.Get(ctx, key, o, opts...)
		},
	})
	result, err := w.Reconcile(w.ctx, requestFor(c))
	if err != nil || result.RequeueAfter != contendedRetry {
		t.Errorf("next look in %s, %v", result.RequeueAfter, err)
	}
	w.must(api.Get(w.ctx, client.ObjectKeyFromObject(c), told))
	if is := told.Status.RequestID; is != "another's" {
		t.Errorf("what the other has told is replaced by %q", is)
	}
}
