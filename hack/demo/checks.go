// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
)

const (
	// patience is how long something may take to come true.
	patience = time.Minute
	// pause is how long to wait between two looks.
	pause = 100 * time.Millisecond
)

// surprise is what came in place of what was expected.
type surprise struct{ want, got string }

// Error says both, on a line each.
func (s *surprise) Error() string {
	return fmt.Sprintf("not as it should be\n    expected: %s\n    came:     %s", s.want, s.got)
}

// eventually looks until the probe says that what is wanted has come; its other result says what there is instead.
func eventually(ctx context.Context, want string, probe func(context.Context) (got string, ok bool)) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	last := "no answer"
	for {
		got, ok := probe(ctx)
		if ok {
			return nil
		}
		if ctx.Err() == nil {
			last = got
		}
		select {
		case <-ctx.Done():
			return &surprise{want: want, got: last}
		case <-time.After(pause):
		}
	}
}

// credential reads a StsCredential of the demo's namespace.
func (d *demo) credential(ctx context.Context, name string) (*v1alpha1.StsCredential, error) {
	c := &v1alpha1.StsCredential{}
	return c, d.kube.Get(ctx, types.NamespacedName{Namespace: namespace, Name: name}, c)
}

// condition is what a condition has to be.
type condition struct {
	kind     string
	status   metav1.ConditionStatus // Unknown: the condition has to be absent
	reason   string
	mentions []string // in the message
}

func (w condition) String() string {
	if w.status == metav1.ConditionUnknown {
		return "no " + w.kind
	}
	text := fmt.Sprintf("%s=%s %s", w.kind, w.status, w.reason)
	if len(w.mentions) > 0 {
		text += " with a message that names " + strings.Join(w.mentions, " and ")
	}
	return text
}

// met compares with what there is.
func (w condition) met(conditions []metav1.Condition) (got string, ok bool) {
	is := meta.FindStatusCondition(conditions, w.kind)
	if is == nil {
		return "no " + w.kind, w.status == metav1.ConditionUnknown
	}
	got = fmt.Sprintf("%s=%s %s: %s", is.Type, is.Status, is.Reason, is.Message)
	ok = is.Status == w.status && is.Reason == w.reason
	for _, mention := range w.mentions {
		ok = ok && strings.Contains(is.Message, mention)
	}
	return got, ok
}

// expect waits until a StsCredential has the conditions, for its current spec.
func (d *demo) expect(ctx context.Context, name string, conditions ...condition) error {
	for _, want := range conditions {
		err := eventually(ctx, name+" has "+want.String(), func(ctx context.Context) (string, bool) {
			c, err := d.credential(ctx, name)
			if err != nil {
				return err.Error(), false
			}
			got, ok := want.met(c.Status.Conditions)
			return got, ok && c.Status.ObservedGeneration == c.Generation
		})
		if err != nil {
			return err
		}
		d.ok("%s has %s", name, want)
	}
	return nil
}

// triple is what a Secret holds.
type triple struct{ id, secret, token string }

// The keys of the format SDK.
const (
	keyID, keySecret, keyToken = "ALIBABA_CLOUD_ACCESS_KEY_ID", "ALIBABA_CLOUD_ACCESS_KEY_SECRET", "ALIBABA_CLOUD_SECURITY_TOKEN"
)

// readTriple reads the Secret of a StsCredential. It has to hold all three, and nothing else.
func (d *demo) readTriple(ctx context.Context, name string) (triple, error) {
	c, err := d.credential(ctx, name)
	if err != nil {
		return triple{}, err
	}
	s := &corev1.Secret{}
	if err := d.kube.Get(ctx, types.NamespacedName{Namespace: namespace, Name: c.Status.SecretName}, s); err != nil {
		return triple{}, err
	}
	t := triple{string(s.Data[keyID]), string(s.Data[keySecret]), string(s.Data[keyToken])}
	if t.id == "" || t.secret == "" || t.token == "" || len(s.Data) != 3 {
		return triple{}, errors.New("Secret " + s.Name + " does not hold a whole triple, or more than that")
	}
	return t, nil
}

// gone waits until an object is no more.
func (d *demo) gone(ctx context.Context, object client.Object) error {
	return eventually(ctx, object.GetName()+" is gone", func(ctx context.Context) (string, bool) {
		err := d.kube.Get(ctx, client.ObjectKeyFromObject(object), object)
		return fmt.Sprintf("it is still there (%v)", err), apierrors.IsNotFound(err)
	})
}
