// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stscredential

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/resourceversion"

	"github.com/stscredential/sts-credential-operator/internal/secret"
)

// existing is the Secret of an StsCredential as it is.
type existing struct {
	secret    *corev1.Secret // stripped; nil if there is none of this StsCredential
	record    *secret.Record // nil if there is none that is whole
	intact    bool           // data and record are as the operator wrote them
	takenOver bool           // it was another StsCredential's, which does not want it any more; nothing was written to it yet
	written   bool           // by this reconcile
}

// readExisting reads the record of a Secret of this StsCredential.
func readExisting(s *corev1.Secret) existing {
	e := existing{secret: stripped(s)}
	e.record, e.intact = secret.Read(e.secret)
	return e
}

// isUnmodified reports whether the Secret is one that its owner consents to, and to which nothing has been written yet.
func (e existing) isUnmodified() bool { return secret.Adopted(e.secret) && e.record == nil }

// adopted reports whether there is a Secret, and it was there before.
func (e existing) adopted() bool { return e.secret != nil && secret.Adopted(e.secret) }

// fitted makes the desired Secret fit the one that exists.
func (e existing) fitted(want *corev1.Secret) *corev1.Secret {
	if e.adopted() {
		return secret.ForAdopted(want)
	}
	return want
}

func stripped(s *corev1.Secret) *corev1.Secret {
	if s != nil {
		_, _ = secret.Strip(s) // in place; of a Secret, it cannot fail
	}
	return s
}

// older reports whether a version of an object is older than another one.
func older(seen, written string) bool {
	order, err := resourceversion.CompareResourceVersion(seen, written)
	return err == nil && order < 0
}
