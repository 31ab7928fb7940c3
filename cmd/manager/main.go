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
	"runtime"

	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/stscredential/sts-credential-operator/controllers/rollout"
	"github.com/stscredential/sts-credential-operator/controllers/stscredential"
	"github.com/stscredential/sts-credential-operator/internal/apiserver"
	"github.com/stscredential/sts-credential-operator/internal/identity"
	"github.com/stscredential/sts-credential-operator/internal/metrics"
	"github.com/stscredential/sts-credential-operator/internal/ratelimit"
	"github.com/stscredential/sts-credential-operator/internal/renewal"
	"github.com/stscredential/sts-credential-operator/internal/sts"
)

// name is that of the operator for STS, for the API server and in events.
const name = "sts-credential-operator"

// version and commit are set when the manager is built.
var (
	version = "dev"
	commit  = "unknown"
)

func main() {
	s, err := parse(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err == nil && s.version {
		fmt.Printf("%s %s, commit %s, %s %s/%s\n", name, version, commit, runtime.Version(), runtime.GOOS, runtime.GOARCH)
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
	counts, local := metrics.New(), clock.RealClock{}
	client, err := sts.New(sts.Options{
		Region: s.region, RegionIsDefault: s.regionIsDefault, VPC: s.vpcEndpoint, Endpoint: s.stsEndpoint, Timeout: s.stsTimeout,
		UserAgent: name + "/" + version, Clock: local, Observe: counts.Called,
	})
	if err != nil {
		return err
	}
	if err := identity.CheckEnvironment(); err != nil {
		return err // a retry cannot succeed; a replica that runs already continues
	}
	chain := identity.Chain{Endpoint: client.Endpoint(), EndpointDescription: client.EndpointDescription(), Region: s.region, VPC: s.vpcEndpoint}
	budget := ratelimit.NewBudget(s.stsQPS, s.stsBurst, local)
	budget.LimitInFlight(s.maxConcurrentReconciles)
	budget.Observe(counts.Waited)
	operator := identity.NewOperator(identity.Options{NewFetch: chain.NewFetch, STS: client, Spend: budget.Spend, Clock: local})
	if s.whoami {
		return printIdentity(ctx, client, operator)
	}
	ctrl.Log.Info("Starting the operator", "version", version, "commit", commit)
	mgr, err := newManager(s)
	if err != nil {
		return err
	}
	uncached := apiserver.BoundReads(mgr.GetAPIReader())
	credentials := &stscredential.Reconciler{
		Client: mgr.GetClient(), APIReader: uncached, STS: client, Budget: budget, Operator: operator, Metrics: counts,
		AccessKeys: identity.NewAccessKeys(identity.AccessKeysOptions{Reader: uncached, STS: client, Clock: local}),
		Early:      renewal.NewEarly(), Clock: local,
		Audit: ctrl.Log.WithName("audit"), ClusterName: s.clusterName, Region: s.region,
	}
	rollouts := &rollout.Reconciler{
		Client: mgr.GetClient(), APIReader: uncached, Reads: rollout.NewReads(local), Skew: client.Skew, Clock: local,
		Results: rollout.NewResults(), Early: credentials.Early, Rollouts: s.rollouts,
	}
	credentials.Events = newEventRecorder(mgr.GetClient())
	rollouts.Events = credentials.Events
	if s.serviceAccountIdentity {
		credentials.ServiceAccounts = identity.NewServiceAccounts(identity.ServiceAccountsOptions{
			Client: mgr.GetClient(), STS: client, ProviderARN: s.oidcProviderARN,
		})
	}
	if err := errors.Join(
		s.trackPods(ctx, mgr, credentials, rollouts),
		credentials.SetupWithManager(ctx, mgr, s.maxConcurrentReconciles),
		credentials.RegisterMetrics(ctrlmetrics.Registry, mgr.Elected()),
		ctrlmetrics.Registry.Register(rollouts.Results),
	); err != nil {
		return err
	}
	if err := logIdentity(ctx, client, operator); err != nil {
		ctrl.Log.WithName("identity").Error(err, "GetCallerIdentity failed; continuing without the caller's identity.")
	}
	return mgr.Start(ctx)
}
