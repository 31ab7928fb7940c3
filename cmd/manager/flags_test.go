// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	for _, tt := range []struct {
		name      string
		given     []string
		env       map[string]string
		want      func(*settings) bool
		wantError string
	}{
		{name: "defaults", want: func(s *settings) bool {
			return s.region == "cn-hangzhou" && !s.serviceAccountIdentity && s.oidcProviderARN == "" && !s.vpcEndpoint && s.stsQPS == 20 && s.stsTimeout == 10*time.Second && s.leaderElect &&
				s.metricsSecure && s.namespaces == nil && s.selector.Empty()
		}},
		{name: "as RRSA injects it", env: map[string]string{"ALIBABA_CLOUD_STS_REGION": "cn-beijing", "ALIBABA_CLOUD_VPC_ENDPOINT_ENABLED": "true"},
			want: func(s *settings) bool { return s.region == "cn-beijing" && s.vpcEndpoint }},
		{name: "flags win over the environment", env: map[string]string{"ALIBABA_CLOUD_STS_REGION": "cn-beijing", "ALIBABA_CLOUD_VPC_ENDPOINT_ENABLED": "true"},
			given: []string{"--region=cn-shanghai", "--vpc-endpoint=false"}, want: func(s *settings) bool { return s.region == "cn-shanghai" && !s.vpcEndpoint }},
		{name: "lists", given: []string{"--namespaces=a,b", "--selector=shard=1"}, want: func(s *settings) bool {
			return len(s.namespaces) == 2 && s.namespaces[1] == "b" && s.selector.String() == "shard=1"
		}},
		{name: "bad provider", given: []string{"--oidc-provider-arn=ack-rrsa-c1"}, wantError: "--oidc-provider-arn must look like"},
		{name: "bad selector", given: []string{"--selector=a=b=c"}, wantError: "--selector"},
		{name: "bad namespaces", given: []string{"--namespaces=a,,B"}, wantError: "--namespaces"},
		{name: "cluster name with a dot", given: []string{"--cluster-name=a.b"}, wantError: "--cluster-name must be"},
		{name: "long cluster name", given: []string{"--cluster-name=" + strings.Repeat("a", 21)}, wantError: "--cluster-name must be"},
		{name: "no calls", given: []string{"--sts-qps=0"}, wantError: "--sts-qps must be"},
		{name: "no burst", given: []string{"--sts-burst=0"}, wantError: "--sts-burst at least 1"},
		{name: "no time", given: []string{"--sts-timeout=1ms"}, wantError: "--sts-timeout must be"},
		{name: "no workers", given: []string{"--max-concurrent-reconciles=0"}, wantError: "--max-concurrent-reconciles must be"},
		{name: "lease timings", given: []string{"--leader-election-lease-duration=1m", "--leader-election-renew-deadline=40s", "--leader-election-retry-period=5s"},
			want: func(s *settings) bool {
				return s.leaseDuration == time.Minute && s.renewDeadline == 40*time.Second && s.retryPeriod == 5*time.Second
			}},
		{name: "a lease of half seconds", given: []string{"--leader-election-lease-duration=15500ms"}, wantError: "--leader-election-lease-duration must be whole seconds"},
		{name: "a deadline after the lease", given: []string{"--leader-election-renew-deadline=15s"}, wantError: "--leader-election-renew-deadline must be"},
		{name: "a period as long as the deadline", given: []string{"--leader-election-retry-period=9s"}, wantError: "1.2 times it must be less"},
		{name: "no period", given: []string{"--leader-election-retry-period=0s"}, wantError: "--leader-election-retry-period must be more than 0"},
		{name: "a certificate for plain HTTP", given: []string{"--metrics-secure=false", "--metrics-cert-dir=/a"}, wantError: "--metrics-cert-dir needs --metrics-secure"},
		{name: "unknown flag", given: []string{"--nope"}, wantError: "nope"},
		{name: "an argument", given: []string{"start"}, wantError: "Use flags, see --help"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, v := range []string{"ALIBABA_CLOUD_STS_REGION", "ALIBABA_CLOUD_VPC_ENDPOINT_ENABLED", "ALIBABA_CLOUD_OIDC_PROVIDER_ARN"} {
				t.Setenv(v, tt.env[v])
			}
			got, err := parse(tt.given)
			if tt.wantError != "" {
				if err == nil || !strings.Contains(err.Error(), tt.wantError) {
					t.Errorf("parse = %v, want an error with %q", err, tt.wantError)
				}
				return
			}
			if err != nil || !tt.want(got) {
				t.Errorf("parse = %+v, %v", got, err)
			}
		})
	}
}
