// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package identity_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"k8s.io/utils/clock"

	"github.com/stscredential/sts-credential-operator/internal/credentials"
	"github.com/stscredential/sts-credential-operator/internal/identity"
	"github.com/stscredential/sts-credential-operator/internal/sts"
	"github.com/stscredential/sts-credential-operator/test/stsemulator"
)

// Sources renew by the real clock, three minutes before their credentials expire. This steps the clock by which the operator
// reads them.
func TestTemporaryIdentitiesAreRenewedInTime(t *testing.T) {
	emulator, server := newSTS(t)
	user := emulator.AddUser(account, "operator")
	token := clusterToken(t, emulator)
	both := trusting
	both.Trust = append([]stsemulator.Statement{{RAM: []string{"acs:ram::" + account + ":user/operator"}}}, both.Trust...)
	emulator.AddRole(both)
	_, stsClient := operatorOn(t, server)
	issue := func() credentials.Credentials {
		session, err := stsClient.AssumeRole(context.Background(), credentials.Credentials{AccessKeyID: user.ID, AccessKeySecret: user.Secret}, request)
		if err != nil {
			t.Error(err)
		}
		return session
	}
	uri := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		s := issue()
		_ = json.NewEncoder(w).Encode(map[string]string{
			"Code": "Success", "AccessKeyId": s.AccessKeyID, "AccessKeySecret": s.AccessKeySecret,
			"SecurityToken": s.SecurityToken, "Expiration": s.ExpiresAt.Format(time.RFC3339),
		})
	}))
	defer uri.Close()

	for name, start := range map[string]func(t *testing.T){
		"RRSA": func(t *testing.T) {
			environment(t, map[string]string{
				"ROLE_ARN": roleARN, "OIDC_PROVIDER_ARN": provider, "OIDC_TOKEN_FILE": write(t, filepath.Join(t.TempDir(), "token"), token),
			})
		},
		"a credentials URI": func(t *testing.T) { environment(t, map[string]string{"CREDENTIALS_URI": uri.URL}) },
		"the node's RAM role": func(t *testing.T) {
			environment(t, nil)
			t.Setenv("ALIBABA_CLOUD_ECS_METADATA_DISABLED", "")
			nodeSession.Store(&issue)
			t.Cleanup(func() { nodeSession.Store(nil) })
		},
	} {
		for lifetime, renewed := range map[time.Duration]bool{2 * time.Minute: true, 20 * time.Minute: false} {
			t.Run(name+" for "+lifetime.String(), func(t *testing.T) {
				start(t)
				emulator.Inject(stsemulator.Fault{Kind: stsemulator.FaultShortLifetime, Duration: lifetime})
				defer emulator.Clear()
				looking := newClock()
				operator := identity.NewOperator(identity.Options{
					NewFetch: identity.Chain{Endpoint: stsClient.Endpoint()}.NewFetch, STS: stsClient, Clock: looking,
				})
				first, err := operator.Credentials(context.Background())
				if err != nil || first.SecurityToken == "" {
					t.Fatal(err)
				}
				looking.SetTime(looking.Now().Add(10 * time.Second))
				second, err := operator.Credentials(context.Background())
				if err != nil || (second != first) != renewed {
					t.Errorf("renewed: %t, %v", second != first, err)
				}
				if _, err := stsClient.GetCallerIdentity(context.Background(), second); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// In a cluster without a way to the internet only the VPC's endpoint can be reached.
func TestCredentialsGoCallsTheSameEndpoint(t *testing.T) {
	profile := `{"current":"x","profiles":[{"name":"x","mode":"RamRoleArn","access_key_id":"k","access_key_secret":"s","ram_role_arn":"` + roleARN + `"}]}`
	for _, c := range []struct {
		name   string
		region string
		vpc    bool
		want   string
	}{
		{"inside a VPC", "cn-beijing", true, "sts-vpc.cn-beijing.aliyuncs.com:443"},
		{"a region", "cn-beijing", false, "sts.cn-beijing.aliyuncs.com:443"},
		{"a region without an endpoint of its own", "cn-beijing-finance-pop", true, "sts.aliyuncs.com:443"},
	} {
		t.Run(c.name, func(t *testing.T) {
			client, err := sts.New(sts.Options{Region: c.region, VPC: c.vpc, Clock: clock.RealClock{}})
			if err != nil {
				t.Fatal(err)
			}
			expect := func(who string) {
				t.Helper()
				for _, host := range tunnels.take() {
					if host != c.want {
						t.Errorf("%s calls %s, want %s", who, host, c.want)
					}
				}
			}
			_, _ = client.GetCallerIdentity(context.Background(), credentials.Credentials{AccessKeyID: "k", AccessKeySecret: "s"})
			if tunnels.count() != 1 {
				t.Errorf("%d calls of our own", tunnels.count())
			}
			expect("the operator")

			chain := identity.Chain{Endpoint: client.Endpoint(), Region: c.region, VPC: c.vpc}
			environment(t, map[string]string{
				"ROLE_ARN": roleARN, "OIDC_PROVIDER_ARN": provider, "OIDC_TOKEN_FILE": write(t, filepath.Join(t.TempDir(), "token"), "t"),
			})
			if _, err := chain.NewFetch()(); err == nil || tunnels.count() != 1 {
				t.Errorf("%d calls for RRSA, %v", tunnels.count(), err)
			}
			expect("RRSA")

			if c.want == "sts.aliyuncs.com:443" {
				return // profiles know no host but the region's
			}
			home := environment(t, nil)
			write(t, filepath.Join(home, ".aliyun/config.json"), profile)
			if _, err := chain.NewFetch()(); err == nil || tunnels.count() != 1 {
				t.Errorf("%d calls for a profile, %v", tunnels.count(), err)
			}
			expect("a profile that assumes a role")
		})
	}
}
