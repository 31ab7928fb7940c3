// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stscredential

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/internal/secret"
)

// secrets reads and writes the Secret of one StsCredential, and the finalizer that an adopted Secret needs.
type secrets struct {
	client.Client
	uncached client.Reader
	clock    clock.PassiveClock
	sts      STSClock
	dryRun   bool // all writes are server-side dry runs
}

// dry returns a copy of s whose writes are server-side dry runs.
func (s secrets) dry() secrets {
	s.Client, s.dryRun = client.NewDryRunClient(s.Client), true
	return s
}

// getUncached gets a Secret uncached; nil if there is none.
func (s secrets) getUncached(ctx context.Context, key types.NamespacedName) (*corev1.Secret, error) {
	found := &corev1.Secret{}
	if err := s.uncached.Get(ctx, key, found); err != nil {
		return nil, client.IgnoreNotFound(err)
	}
	return found, nil
}

// put creates the Secret if base is nil, and fails if it exists; otherwise it patches it, and fails if it has changed since base.
func (s secrets) put(ctx context.Context, base, desired *corev1.Secret) (*corev1.Secret, error) {
	manager := client.FieldOwner(secret.FieldManager(desired))
	if base == nil {
		created := desired.DeepCopy()
		return created, s.Create(ctx, created, manager)
	}
	patched := &corev1.Secret{ObjectMeta: objectMeta(desired)}
	return patched, s.Patch(ctx, patched, client.RawPatch(secret.PatchType, secret.Patch(base, desired)), manager)
}

// objectMeta is a Secret's name.
func objectMeta(s *corev1.Secret) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: s.Namespace, Name: s.Name}
}

// existing is the existing Secret of an StsCredential.
type existing struct {
	secret    *corev1.Secret // stripped; nil if there is none of this StsCredential
	record    *secret.Record // nil if there is no complete one
	intact    bool           // data and record are as the operator wrote them
	takenOver bool           // from another StsCredential that no longer uses it; nothing is written yet
	written   bool           // by this reconcile
}

// readExisting reads the record of a Secret of this StsCredential.
func readExisting(s *corev1.Secret) existing {
	e := existing{secret: stripped(s)}
	e.record, e.intact = secret.Read(e.secret)
	return e
}

// isUnmodified reports whether the Secret is an adopted one to which the operator has not written yet.
func (e existing) isUnmodified() bool { return secret.Adopted(e.secret) && e.record == nil }

// adopted reports whether there is a Secret, and it is an adopted one.
func (e existing) adopted() bool { return e.secret != nil && secret.Adopted(e.secret) }

// fitted changes the desired Secret to one for an adopted Secret, if the existing one is adopted.
func (e existing) fitted(desired *corev1.Secret) *corev1.Secret {
	if e.adopted() {
		return secret.ForAdopted(desired)
	}
	return desired
}

func stripped(s *corev1.Secret) *corev1.Secret {
	if s != nil {
		_, _ = secret.Strip(s) // in place; of a Secret, it cannot fail
	}
	return s
}

// older reports whether a version of an object is older than another one.
func older(existing, written string) bool {
	order, err := resourceversion.CompareResourceVersion(existing, written)
	return err == nil && order < 0
}
