// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/controllers/rollout"
	"github.com/stscredential/sts-credential-operator/controllers/stscredential"
	"github.com/stscredential/sts-credential-operator/internal/drain"
	"github.com/stscredential/sts-credential-operator/internal/eventrecorder"
	"github.com/stscredential/sts-credential-operator/internal/guard"
	"github.com/stscredential/sts-credential-operator/internal/paging"
)

// gracePeriod is the shutdown timeout of the manager. It covers running reconciles.
const gracePeriod = drain.Timeout + 5*time.Second

// Permissions to authorize clients that read metrics, and for the lease, in the operator's own namespace.
//
// +kubebuilder:rbac:groups=authentication.k8s.io,resources=tokenreviews,verbs=create
// +kubebuilder:rbac:groups=authorization.k8s.io,resources=subjectaccessreviews,verbs=create
// +kubebuilder:rbac:groups=coordination.k8s.io,resources=leases,verbs=get;create;update,namespace=sts-system
// +kubebuilder:rbac:groups="",resources=events,verbs=create;patch,namespace=sts-system

// newManager returns the manager, whose client has the rate limit of the flags.
func newManager(s *settings) (ctrl.Manager, error) {
	config, err := ctrl.GetConfig()
	if err != nil {
		return nil, err
	}
	config.QPS, config.Burst = float32(s.kubeAPIQPS), s.kubeAPIBurst
	config.UserAgent = name + "/" + version
	config.Wrap(paging.RoundTripper)
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return nil, err
	}
	serving, err := metricsOptions(s)
	if err != nil {
		return nil, err
	}
	cached, err := stscredential.CacheOptions(s.namespaces, s.selector)
	if err != nil {
		return nil, err
	}
	mgr, err := ctrl.NewManager(config, ctrl.Options{
		Scheme: scheme, Cache: cached, Metrics: serving, HealthProbeBindAddress: s.probeAddress,
		LeaderElection: s.leaderElect, LeaderElectionID: s.leaderElectionID,
		LeaderElectionNamespace: s.leaderElectionNamespace, LeaderElectionReleaseOnCancel: true,
		LeaseDuration: &s.leaseDuration, RenewDeadline: &s.renewDeadline, RetryPeriod: &s.retryPeriod,
		GracefulShutdownTimeout: ptr.To(gracePeriod), // then the lease is released
	})
	if err != nil {
		return nil, err
	}
	return mgr, errors.Join(mgr.AddHealthzCheck("ping", healthz.Ping), mgr.AddReadyzCheck("ping", healthz.Ping))
}

// metricsOptions returns how to serve metrics. It returns an error if the certificate of --metrics-cert-dir cannot be read:
// controller-runtime would use a self-signed one instead.
func metricsOptions(s *settings) (metricsserver.Options, error) {
	options := metricsserver.Options{BindAddress: s.metricsAddress, SecureServing: s.metricsSecure, CertDir: s.metricsCertDir}
	if s.metricsSecure {
		options.FilterProvider = guard.Filter
	}
	if s.metricsCertDir != "" {
		if _, err := tls.LoadX509KeyPair(filepath.Join(s.metricsCertDir, "tls.crt"), filepath.Join(s.metricsCertDir, "tls.key")); err != nil {
			return options, fmt.Errorf("--metrics-cert-dir: %w", err)
		}
	}
	return options, nil
}

// newEventRecorder returns the event recorder.
func newEventRecorder(c client.Client) *eventrecorder.Recorder {
	host, _ := os.Hostname()
	return eventrecorder.New(eventrecorder.Options{
		Client: c, Controller: name, Instance: name + "-" + host,
		Clock: clock.RealClock{}, Log: ctrl.Log.WithName("events"),
	})
}

// trackPods sets up the rollout controller, if it is enabled and the operator may watch pods. Credentials are renewed in any case.
func (s *settings) trackPods(ctx context.Context, mgr ctrl.Manager, credentials *stscredential.Reconciler, rollouts *rollout.Reconciler) error {
	if !s.trackConsumers && !s.rollouts {
		return nil
	}
	allowed, err := mayWatchPods(ctx, mgr.GetClient(), s.namespaces)
	if err != nil {
		return err
	}
	if !allowed {
		ctrl.Log.WithName("consumers").Error(nil, "Pods are not tracked and workloads are not restarted: the operator may not list and watch pods. Grant the permission, or remove --track-consumers and --rollouts")
		return nil
	}
	credentials.TracksConsumers, credentials.OnClockChange = true, rollouts.Requeue
	return rollouts.SetupWithManager(ctx, mgr, s.maxConcurrentReconciles)
}

// mayWatchPods reports whether the operator may list and watch pods in these namespaces; none means all. Without the
// permission, the cache would never sync and nothing would be renewed.
func mayWatchPods(ctx context.Context, api client.Client, namespaces []string) (bool, error) {
	if len(namespaces) == 0 {
		namespaces = []string{""}
	}
	for _, namespace := range namespaces {
		for _, verb := range []string{"list", "watch"} {
			review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
				ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: namespace, Verb: verb, Resource: "pods"},
			}}
			if err := api.Create(ctx, review); err != nil {
				return false, fmt.Errorf("failed to check whether the operator may %s pods: %w", verb, err)
			}
			if !review.Status.Allowed {
				return false, nil
			}
		}
	}
	return true, nil
}
