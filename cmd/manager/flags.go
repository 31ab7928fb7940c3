// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
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
	"sigs.k8s.io/controller-runtime/pkg/log/zap"

	"github.com/stscredential/sts-credential-operator/internal/identity"
)

// settings are what the flags say.
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
	metricsAddress, probeAddress     string
	metricsSecure, version           bool
	zap                              zap.Options
}

// clusterNames are what may stand before a namespace in a session name and leaves room for it.
var clusterNames = regexp.MustCompile(`^[A-Za-z0-9@_-]{0,20}$`)

// parse reads the flags. Errors say what to write instead.
func parse(arguments []string) (*settings, error) {
	s := &settings{}
	flags := flag.NewFlagSet("manager", flag.ContinueOnError)
	flags.StringVar(&s.region, "region", envOr("ALIBABA_CLOUD_STS_REGION", "cn-hangzhou"),
		"Region whose STS endpoint is called. The default is ALIBABA_CLOUD_STS_REGION, else cn-hangzhou.")
	vpc, _ := strconv.ParseBool(os.Getenv("ALIBABA_CLOUD_VPC_ENDPOINT_ENABLED"))
	flags.BoolVar(&s.vpcEndpoint, "vpc-endpoint", vpc,
		"Call the region's VPC endpoint. The default is ALIBABA_CLOUD_VPC_ENDPOINT_ENABLED, else false.")
	flags.StringVar(&s.stsEndpoint, "sts-endpoint", "",
		"URL of STS, in place of --region and --vpc-endpoint, such as https://sts.example.com. http:// is for emulators only.")
	flags.StringVar(&s.clusterName, "cluster-name", "",
		"Stands before the namespace in session names, so that ActionTrail tells clusters apart. At most 20 of A-Z a-z 0-9 @ _ -.")
	flags.BoolVar(&s.serviceAccountIdentity, "service-account-identity", false,
		"Let StsCredentials ask with tokens of ServiceAccounts of their namespace. Needs the right to create serviceaccounts/token.")
	flags.StringVar(&s.oidcProviderARN, "oidc-provider-arn", os.Getenv("ALIBABA_CLOUD_OIDC_PROVIDER_ARN"),
		"OIDC provider in RAM that stands for this cluster, for ServiceAccounts that name none. The default is ALIBABA_CLOUD_OIDC_PROVIDER_ARN, as RRSA injects it.")
	flags.BoolVar(&s.trackConsumers, "track-consumers", false,
		"Track pods that still use superseded credentials. Needs the right to watch pods.")
	flags.BoolVar(&s.rollouts, "rollouts", false,
		"Restart workloads after a renewal where spec.rollout asks for it. Needs the rights to watch pods, and to get and patch workloads.")
	flags.Float64Var(&s.stsQPS, "sts-qps", 20, "Calls to STS per second and account, of the account's 100 that all clusters share.")
	flags.IntVar(&s.stsBurst, "sts-burst", 20, "Calls to STS at once and account.")
	flags.DurationVar(&s.stsTimeout, "sts-timeout", 10*time.Second, "Longest time for one call to STS.")
	flags.IntVar(&s.maxConcurrentReconciles, "max-concurrent-reconciles", 32, "StsCredentials that are worked on at once.")
	flags.Float64Var(&s.kubeAPIQPS, "kube-api-qps", 100, "Maximum number of requests to the Kubernetes API per second, for each kind of object.")
	flags.IntVar(&s.kubeAPIBurst, "kube-api-burst", 200, "Burst size of the limit --kube-api-qps.")
	namespaces := flags.String("namespaces", "", "Namespaces to work in, separated by commas. Empty means all.")
	selector := flags.String("selector", "", "Label selector of the StsCredentials to work on, to share the work between several operators. Empty means all.")
	flags.BoolVar(&s.leaderElect, "leader-elect", true, "Work only while holding the lease, so that several replicas may run.")
	flags.StringVar(&s.leaderElectionID, "leader-election-id", "sts-credential-operator", "Name of the lease. Operators that share the work need one each.")
	flags.StringVar(&s.leaderElectionNamespace, "leader-election-namespace", "", "Namespace of the lease. The default is the pod's own; outside a cluster there is none.")
	flags.StringVar(&s.metricsAddress, "metrics-bind-address", ":8443", "Address of the metrics. 0 turns them off.")
	flags.BoolVar(&s.metricsSecure, "metrics-secure", true, "Serve metrics over HTTPS to callers that may get /metrics only.")
	flags.StringVar(&s.probeAddress, "health-probe-bind-address", ":8081", "Address of /healthz and /readyz. 0 turns them off.")
	flags.BoolVar(&s.whoami, "whoami", false, "Ask STS who the operator is, print the answer, and end: an error if there is none. Pods can do so with the credentials of a Secret.")
	flags.BoolVar(&s.version, "version", false, "Print version and commit, and end.")
	s.zap.BindFlags(flags)
	if err := flags.Parse(arguments); err != nil {
		return nil, err
	}
	s.regionIsDefault = os.Getenv("ALIBABA_CLOUD_STS_REGION") == ""
	flags.Visit(func(f *flag.Flag) { s.regionIsDefault = s.regionIsDefault && f.Name != "region" })
	if flags.NArg() > 0 {
		return nil, fmt.Errorf("unknown argument %q: settings are flags, see --help", flags.Arg(0))
	}
	return s, s.check(*namespaces, *selector)
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
			return fmt.Errorf("--namespaces: %q is no namespace's name: write names separated by commas, without spaces", namespace)
		}
	}
	return s.checkValues()
}

func (s *settings) checkValues() error {
	switch {
	case !clusterNames.MatchString(s.clusterName):
		return errors.New("--cluster-name must be at most 20 of A-Z a-z 0-9 @ _ -")
	case s.oidcProviderARN != "" && !identity.IsProviderARN(s.oidcProviderARN):
		return errors.New("--oidc-provider-arn must look like acs:ram::1234567890123456:oidc-provider/ack-rrsa-c1")
	case s.stsQPS <= 0 || s.stsBurst < 1:
		return errors.New("--sts-qps must be more than 0 and --sts-burst at least 1")
	case s.stsTimeout < time.Second:
		return errors.New("--sts-timeout must be at least 1s")
	case s.maxConcurrentReconciles < 1:
		return errors.New("--max-concurrent-reconciles must be at least 1")
	}
	return nil
}

func envOr(variable, otherwise string) string {
	if value := os.Getenv(variable); value != "" {
		return value
	}
	return otherwise
}
