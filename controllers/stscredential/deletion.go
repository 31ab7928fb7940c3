// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stscredential

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/apiserver"
	"github.com/stscredential/sts-credential-operator/internal/secret"
)

// handleDeletion removes the operator's keys from adopted Secrets, and then the finalizer from the StsCredential that is being
// deleted. The garbage collector deletes its other Secrets.
func (s secrets) handleDeletion(ctx context.Context, recorder events.EventRecorder, c *v1alpha1.StsCredential) error {
	if !controllerutil.ContainsFinalizer(c, v1alpha1.FinalizerAdoptedSecret) {
		return nil
	}
	if c.Spec.Secret.DeletionPolicy != v1alpha1.DeletionPolicyRetain {
		if err := s.cleanAll(ctx, recorder, c); err != nil {
			return err
		}
	}
	return s.removeFinalizer(ctx, c)
}

// cleanAll removes the operator's keys from the Secrets that the object adopted. If the API server rejects the removal for
// good, an event reports it, and the credentials stay until they expire. So it does not block the deletion of a namespace.
func (s secrets) cleanAll(ctx context.Context, recorder events.EventRecorder, c *v1alpha1.StsCredential) error {
	orphans, err := orphanedSecrets(ctx, s, c)
	if err != nil {
		return err
	}
	names := map[string]bool{c.SecretName(): true}
	for i := range orphans {
		names[orphans[i].Name] = true
	}
	for name := range names {
		if err := s.clean(ctx, recorder, c, name); err != nil {
			return err
		}
	}
	return nil
}

// clean removes the operator's keys from one Secret, if it was adopted.
func (s secrets) clean(ctx context.Context, recorder events.EventRecorder, c *v1alpha1.StsCredential, name string) error {
	found, err := s.getUncached(ctx, types.NamespacedName{Namespace: c.Namespace, Name: name})
	if err != nil || found == nil || !secret.Owned(found, c) || !secret.Adopted(found) {
		return err
	}
	e := readExisting(found)
	if e.isUnmodified() {
		return nil
	}
	if !secret.Removable(e.secret, c) {
		notCleaned(recorder, c, name, "another client has edited it")
		return nil
	}
	err = s.Patch(ctx, &corev1.Secret{ObjectMeta: objectMeta(found)}, client.RawPatch(secret.PatchType, secret.RemovalPatch(e.secret)))
	if client.IgnoreNotFound(err) == nil {
		return nil
	}
	cause, transient := apiserver.Describe(err)
	if transient {
		return fmt.Errorf("failed to remove the credentials from Secret %s/%s: %s", c.Namespace, name, cause)
	}
	notCleaned(recorder, c, name, cause)
	return nil
}

// notCleaned records an event on credentials that stay in an adopted Secret.
func notCleaned(recorder events.EventRecorder, c *v1alpha1.StsCredential, name, cause string) {
	recorder.Eventf(c, nil, corev1.EventTypeWarning, v1alpha1.ReasonSecretWriteFailed, "Release",
		"failed to remove the credentials from Secret %s: %s. Remove their keys from the Secret; they are valid until they expire", name, cause)
}
