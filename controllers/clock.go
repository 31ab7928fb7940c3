// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
)

const (
	// clockInterval is how often the clock is held against STS's, as far as answers tell.
	clockInterval = 10 * time.Second
	// clockStep is the change of the difference that puts the planned times in doubt.
	clockStep = 5 * time.Second
)

// wakeUp queues one credential.
type wakeUp = event.TypedGenericEvent[*v1alpha1.StsCredential]

func (r *Reconciler) wakeSource() source.Source {
	return source.Channel(r.wake, &handler.TypedEnqueueRequestForObject[*v1alpha1.StsCredential]{})
}

// clockWatch wakes every credential when the local clock turns out to differ from STS's otherwise than was thought: the
// times that their next looks were set by are wrong then. It also finds out who the operator is if STS did not answer
// when it started, since only an answer tells STS's time.
type clockWatch struct{ *Reconciler }

// Start runs until ctx ends.
func (w *clockWatch) Start(ctx context.Context) error {
	ticker := w.Clock.NewTicker(clockInterval)
	defer ticker.Stop()
	planned := w.STS.Skew()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C():
			_ = w.Operator.Identify(ctx) // tried again, with a backoff of its own
			if skew := w.STS.Skew(); (skew - planned).Abs() >= clockStep {
				planned = skew
				w.wakeAll(ctx)
			}
		}
	}
}

func (w *clockWatch) wakeAll(ctx context.Context) {
	var credentials v1alpha1.StsCredentialList
	if err := w.List(ctx, &credentials, client.UnsafeDisableDeepCopy); err != nil {
		return
	}
	for i := range credentials.Items {
		select {
		case w.wake <- wakeUp{Object: &credentials.Items[i]}:
		case <-ctx.Done():
			return
		}
	}
}
