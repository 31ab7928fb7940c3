// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/tools/leaderelection"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"

	"github.com/stscredential/sts-credential-operator/internal/identity"
)

// settings are the values of the flags.
type settings struct {
	region, stsEndpoint, clusterName string
	regionIsDefault                  bool // neither the flag nor the environment names one
	oidcProviderARN                  string
	vpcEndpoint                      bool
	serviceAccountIdentity, whoami   bool
	trackConsumers, rollouts         bool
	stsQPS, kubeAPIQPS               float64
	stsBurst, kubeAPIBurst           int
	stsTimeout                       time.Duration
	maxConcurrentReconciles          int
	namespaces                       []string
	selector                         labels.Selector
	leaderElect                      bool
	leaderElectionID                 string
	leaderElectionNamespace          string
	leaseDuration, renewDeadline     time.Duration
	retryPeriod                      time.Duration
	metricsAddress, probeAddress     string
	metricsCertDir                   string
	metricsSecure, version           bool
	zap                              zap.Options
}

// clusterNames matches cluster names: short enough for a session name with a namespace.
var clusterNames = regexp.MustCompile(`^[A-Za-z0-9@_-]{0,20}$`)

// parse parses the flags. Errors are messages for administrators.
func parse(arguments []string) (*settings, error) {
	s := &settings{}
	flags := flag.NewFlagSet("manager", flag.ContinueOnError)
	flags.StringVar(&s.region, "region", cmp.Or(os.Getenv("ALIBABA_CLOUD_STS_REGION"), "cn-hangzhou"),
		"Region of the STS endpoint. The default is ALIBABA_CLOUD_STS_REGION, else cn-hangzhou.")
	vpc, _ := strconv.ParseBool(os.Getenv("ALIBABA_CLOUD_VPC_ENDPOINT_ENABLED"))
	flags.BoolVar(&s.vpcEndpoint, "vpc-endpoint", vpc,
		"Use the region's VPC endpoint. The default is ALIBABA_CLOUD_VPC_ENDPOINT_ENABLED, else false.")
	flags.StringVar(&s.stsEndpoint, "sts-endpoint", "",
		"URL of the STS endpoint, such as https://sts.example.com; overrides --region and --vpc-endpoint. Use http:// for emulators only.")
	flags.StringVar(&s.clusterName, "cluster-name", "",
		"Prefix of session names, which identifies the cluster in ActionTrail. At most 20 of A-Z a-z 0-9 @ _ -.")
	flags.BoolVar(&s.serviceAccountIdentity, "service-account-identity", false,
		"Enable spec.identity.serviceAccount: call STS with tokens of ServiceAccounts. Requires permission to create serviceaccounts/token.")
	flags.StringVar(&s.oidcProviderARN, "oidc-provider-arn", os.Getenv("ALIBABA_CLOUD_OIDC_PROVIDER_ARN"),
		"ARN of the OIDC provider in RAM for StsCredentials that name none. The default is ALIBABA_CLOUD_OIDC_PROVIDER_ARN, which RRSA injects.")
	flags.BoolVar(&s.trackConsumers, "track-consumers", false,
		"Track pods that still use superseded credentials. Requires permission to watch pods.")
	flags.BoolVar(&s.rollouts, "rollouts", false,
		"Enable spec.rollout: restart workloads after a renewal. Requires permission to watch pods, and to get and patch workloads.")
	flags.Float64Var(&s.stsQPS, "sts-qps", 20, "Maximum number of calls to STS per second, per Alibaba Cloud account. All clusters share the account's quota of 100.")
	flags.IntVar(&s.stsBurst, "sts-burst", 20, "Burst size of the STS rate limit, per Alibaba Cloud account.")
	flags.DurationVar(&s.stsTimeout, "sts-timeout", 10*time.Second, "Timeout of a call to STS.")
	flags.IntVar(&s.maxConcurrentReconciles, "max-concurrent-reconciles", 32, "Maximum number of concurrent reconciles.")
	flags.Float64Var(&s.kubeAPIQPS, "kube-api-qps", 100, "Maximum number of requests to the Kubernetes API per second, per kind of object.")
	flags.IntVar(&s.kubeAPIBurst, "kube-api-burst", 200, "Burst size of the Kubernetes API rate limit, per kind of object.")
	namespaces := flags.String("namespaces", "", "Namespaces to watch, separated by commas. Empty means all.")
	selector := flags.String("selector", "", "Label selector of the StsCredentials to reconcile, for several operators in one cluster. Empty means all.")
	flags.BoolVar(&s.leaderElect, "leader-elect", true, "Enable leader election, so that several replicas can run.")
	flags.StringVar(&s.leaderElectionID, "leader-election-id", "sts-credential-operator", "Name of the leader election lease. Each operator needs its own.")
	flags.StringVar(&s.leaderElectionNamespace, "leader-election-namespace", "", "Namespace of the leader election lease. The default is the pod's namespace; required outside a cluster.")
	s.addLeaseTimings(flags)
	flags.StringVar(&s.metricsAddress, "metrics-bind-address", ":8443", "Address of the metrics endpoint. 0 disables it.")
	flags.BoolVar(&s.metricsSecure, "metrics-secure", true, "Serve metrics over HTTPS, only to clients that may get /metrics.")
	flags.StringVar(&s.metricsCertDir, "metrics-cert-dir", "",
		"Directory with tls.crt and tls.key for --metrics-secure, read again when they change. The default is a self-signed certificate, new at each start.")
	flags.StringVar(&s.probeAddress, "health-probe-bind-address", ":8081", "Address of the probe endpoints /healthz and /readyz. 0 disables them.")
	flags.BoolVar(&s.whoami, "whoami", false, "Call GetCallerIdentity, print the identity and exit; the exit code is 1 if the call fails. Works in any pod, with the credentials of a Secret.")
	flags.BoolVar(&s.version, "version", false, "Print version and commit, and exit.")
	s.zap.BindFlags(flags)
	if err := flags.Parse(arguments); err != nil {
		return nil, err
	}
	s.regionIsDefault = os.Getenv("ALIBABA_CLOUD_STS_REGION") == ""
	flags.Visit(func(f *flag.Flag) { s.regionIsDefault = s.regionIsDefault && f.Name != "region" })
	if flags.NArg() > 0 {
		return nil, fmt.Errorf("unknown argument %q. Use flags, see --help", flags.Arg(0))
	}
	return s, s.check(*namespaces, *selector)
}

func (s *settings) addLeaseTimings(flags *flag.FlagSet) {
	flags.DurationVar(&s.leaseDuration, "leader-election-lease-duration", 15*time.Second,
		"Time after which a standby replica takes over a lease that its holder has not renewed. In whole seconds.")
	flags.DurationVar(&s.renewDeadline, "leader-election-renew-deadline", 10*time.Second,
		"Time after which the leader gives up if it cannot renew the lease. Shorter than --leader-election-lease-duration.")
	flags.DurationVar(&s.retryPeriod, "leader-election-retry-period", 2*time.Second,
		"Interval between attempts to get or renew the lease.")
}

func (s *settings) check(namespaces, selector string) (err error) {
	if s.selector, err = labels.Parse(selector); err != nil {
		return fmt.Errorf("--selector: %w", err)
	}
	if namespaces != "" {
		s.namespaces = strings.Split(namespaces, ",")
	}
	for _, namespace := range s.namespaces {
		if len(validation.IsDNS1123Label(namespace)) > 0 {
			return fmt.Errorf("--namespaces: %q is not a namespace name. Write names separated by commas, without spaces", namespace)
		}
	}
	var errs []error
	for _, check := range []struct {
		valid   bool
		message string
	}{
		{clusterNames.MatchString(s.clusterName), "--cluster-name must be at most 20 of A-Z a-z 0-9 @ _ -"},
		{s.oidcProviderARN == "" || identity.IsProviderARN(s.oidcProviderARN),
			"--oidc-provider-arn must look like acs:ram::1234567890123456:oidc-provider/ack-rrsa-c1"},
		{s.stsQPS > 0 && s.stsBurst >= 1, "--sts-qps must be more than 0 and --sts-burst at least 1"},
		{s.stsTimeout >= time.Second, "--sts-timeout must be at least 1s"},
		{s.maxConcurrentReconciles >= 1, "--max-concurrent-reconciles must be at least 1"},
		{s.metricsCertDir == "" || s.metricsSecure, "--metrics-cert-dir needs --metrics-secure"},
		// What the leader election of client-go refuses, or what the lease cannot store.
		{s.leaseDuration >= time.Second && s.leaseDuration%time.Second == 0, "--leader-election-lease-duration must be whole seconds, at least 1s"},
		{s.renewDeadline > 0 && s.renewDeadline < s.leaseDuration,
			"--leader-election-renew-deadline must be more than 0 and less than --leader-election-lease-duration"},
		{s.retryPeriod > 0 && s.renewDeadline > time.Duration(leaderelection.JitterFactor*float64(s.retryPeriod)), fmt.Sprintf(
			"--leader-election-retry-period must be more than 0; %g times it must be less than --leader-election-renew-deadline", leaderelection.JitterFactor)},
	} {
		if !check.valid {
			errs = append(errs, errors.New(check.message))
		}
	}
	return errors.Join(errs...)
}
