// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command manager runs the operator.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/controllers/rollout"
	"github.com/stscredential/sts-credential-operator/controllers/stscredential"
	"github.com/stscredential/sts-credential-operator/internal/apiserver"
	"github.com/stscredential/sts-credential-operator/internal/drain"
	"github.com/stscredential/sts-credential-operator/internal/identity"
	"github.com/stscredential/sts-credential-operator/internal/metrics"
	"github.com/stscredential/sts-credential-operator/internal/paging"
	"github.com/stscredential/sts-credential-operator/internal/ratelimit"
	"github.com/stscredential/sts-credential-operator/internal/renewal"
	"github.com/stscredential/sts-credential-operator/internal/sts"
)

func main() {
	s, err := parse(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err == nil && s.version {
		fmt.Println(build())
		return
	}
	if err == nil {
		ctrl.SetLogger(zap.New(zap.UseFlagOptions(&s.zap)))
		err = run(ctrl.SetupSignalHandler(), s)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "manager:", err)
		os.Exit(1)
	}
}

// run starts the manager and blocks until ctx ends.
func run(ctx context.Context, s *settings) error {
	counts := metrics.New()
	client, err := sts.New(sts.Options{
		Region: s.region, RegionIsDefault: s.regionIsDefault, VPC: s.vpcEndpoint, Endpoint: s.stsEndpoint, Timeout: s.stsTimeout,
		UserAgent: "sts-credential-operator/" + version, Clock: clock.RealClock{}, Observe: counts.Called,
	})
	if err != nil {
		return err
	}
	if err := identity.CheckEnvironment(); err != nil {
		return err // a retry cannot succeed; a replica that runs already continues
	}
	chain := identity.Chain{Endpoint: client.Endpoint(), EndpointDescription: client.EndpointDescription(), Region: s.region, VPC: s.vpcEndpoint}
	budget := newBudget(s, counts)
	operator := identity.NewOperator(identity.Options{NewFetch: chain.NewFetch, STS: client, Spend: budget.Spend, Clock: clock.RealClock{}})
	if s.whoami {
		return printIdentity(ctx, os.Stdout, client, operator)
	}
	ctrl.Log.Info("Starting the operator", "version", version, "commit", commit)
	config, err := newConfig(s)
	if err != nil {
		return err
	}
	mgr, err := newManager(config, s)
	if err != nil {
		return err
	}
	uncached := apiserver.BoundReads(mgr.GetAPIReader())
	reconciler := &stscredential.Reconciler{
		Client: mgr.GetClient(), APIReader: uncached,
		STS: client, Budget: budget, Operator: operator, Metrics: counts,
		AccessKeys: identity.NewAccessKeys(identity.AccessKeysOptions{Reader: uncached, STS: client, Clock: clock.RealClock{}}),
		Early:      renewal.NewEarly(),
		Clock:      clock.RealClock{},
		Audit:      ctrl.Log.WithName("audit"), ClusterName: s.clusterName, Region: s.region,
	}
	rollouts := newRollouts(mgr.GetClient(), uncached, client.Skew, reconciler.Early)
	reconciler.Events = newEvents(mgr.GetClient())
	rollouts.Events = reconciler.Events
	if s.serviceAccountIdentity {
		reconciler.ServiceAccounts = identity.NewServiceAccounts(identity.ServiceAccountsOptions{
			Client: mgr.GetClient(), STS: client, ProviderARN: s.oidcProviderARN,
		})
	}
	if err := errors.Join(
		s.track(ctx, mgr, reconciler, rollouts),
		reconciler.SetupWithManager(ctx, mgr, s.maxConcurrentReconciles),
		reconciler.RegisterMetrics(ctrlmetrics.Registry, mgr.Elected()),
		ctrlmetrics.Registry.Register(rollouts.Results),
	); err != nil {
		return err
	}
	if err := logIdentity(ctx, client, operator); err != nil {
		ctrl.Log.WithName("identity").Error(err, "GetCallerIdentity failed; continuing without the caller's identity.")
	}
	return mgr.Start(ctx)
}

// newConfig returns the client configuration for the API server, with the rate limit of the flags.
func newConfig(s *settings) (*rest.Config, error) {
	config, err := ctrl.GetConfig()
	if err != nil {
		return nil, err
	}
	config.QPS, config.Burst = float32(s.kubeAPIQPS), s.kubeAPIBurst
	config.UserAgent = "sts-credential-operator/" + version
	config.Wrap(paging.RoundTripper)
	return config, nil
}

// newRollouts returns the rollout controller. track sets it up if --track-consumers or --rollouts is set.
func newRollouts(c client.Client, uncached client.Reader, skew func() time.Duration, early *renewal.Early) *rollout.Reconciler {
	return &rollout.Reconciler{
		Client: c, APIReader: uncached, Skew: skew, Clock: clock.RealClock{}, Results: rollout.NewResults(), Early: early,
	}
}

// newBudget returns the call budget, with a seat for each worker.
func newBudget(s *settings, counts *metrics.Metrics) *ratelimit.Budget {
	budget := ratelimit.NewBudget(s.stsQPS, s.stsBurst, clock.RealClock{})
	budget.LimitInFlight(s.maxConcurrentReconciles)
	budget.Observe(counts.Waited)
	return budget
}

// gracePeriod is the shutdown timeout of the manager. It covers running reconciles.
const gracePeriod = drain.Timeout + 5*time.Second

// Permissions to authorize clients that read metrics, and for the lease, in the operator's own namespace.
//
// +kubebuilder:rbac:groups=authentication.k8s.io,resources=tokenreviews,verbs=create
// +kubebuilder:rbac:groups=authorization.k8s.io,resources=subjectaccessreviews,verbs=create
// +kubebuilder:rbac:groups=coordination.k8s.io,resources=leases,verbs=get;create;update,namespace=sts-system
// +kubebuilder:rbac:groups="",resources=events,verbs=create;patch,namespace=sts-system

func newManager(config *rest.Config, s *settings) (ctrl.Manager, error) {
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
