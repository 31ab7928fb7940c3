// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package identity_test

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"k8s.io/utils/clock"

	"github.com/stscredential/sts-credential-operator/internal/identity"
	"github.com/stscredential/sts-credential-operator/internal/sts"
	"github.com/stscredential/sts-credential-operator/test/stsemulator"
)

const serviceAccount = "system:serviceaccount:sts-system:operator"

// clusterToken registers a cluster's OIDC provider, and returns a token of the
// operator's ServiceAccount.
func clusterToken(t *testing.T, emulator *stsemulator.Emulator) string {
	t.Helper()
	cluster, err := stsemulator.NewIssuer(issuer)
	if err != nil {
		t.Fatal(err)
	}
	emulator.AddOIDCProvider(cluster.Provider(provider, "sts.aliyuncs.com"))
	token, err := cluster.Token(serviceAccount, "sts.aliyuncs.com", clock.RealClock{}.Now())
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestRRSA(t *testing.T) {
	emulator, server := newSTS(t)
	token := clusterToken(t, emulator)
	emulator.AddRole(trusting)
	environment(t, map[string]string{
		"ROLE_ARN": roleARN, "OIDC_PROVIDER_ARN": provider,
		"OIDC_TOKEN_FILE": write(t, filepath.Join(t.TempDir(), "token"), token),
	})
	operator, _ := operatorOn(t, server)

	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if _, err := operator.Credentials(context.Background()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if calls := emulator.Calls(); len(calls) != 1 || calls[0].OIDCTokenIn != "body" {
		t.Fatalf("recorded %+v, want one call", calls)
	}
	if err := operator.Identify(context.Background()); err != nil {
		t.Fatal(err)
	}
	if caller, _ := operator.Caller(); caller.ARN != "acs:ram::"+account+":assumed-role/operator/sts-credential-operator" {
		t.Errorf("it is %s", caller.ARN)
	}

	emulator.AddRole(stsemulator.Role{ARN: roleARN})
	expectUnavailable(t, operator, token, sts.Refused, "RRSA: AssumeRoleWithOIDC: AuthenticationFail.NoPermission (RequestId ")
	expectUnavailable(t, operator, token, sts.Refused, `"oidc:iss":"`+issuer+`","oidc:aud":"sts.aliyuncs.com","oidc:sub":"`+serviceAccount+`"`)
	emulator.AddRole(trusting)
	server.Close()
	operator, _ = operatorOn(t, server)
	expectUnavailable(t, operator, token, sts.Transient, "RRSA: AssumeRoleWithOIDC: the connection was refused")
}

func expectUnavailable(t *testing.T, operator *identity.Operator, token string, class sts.Class, text string) {
	t.Helper()
	if keys, err := operator.Credentials(context.Background()); err == nil {
		operator.Invalidate(keys.AccessKeyID)
	}
	_, err := operator.Credentials(context.Background())
	var unavailable *identity.UnavailableError
	if !errors.As(err, &unavailable) || unavailable.Class != class || !strings.Contains(err.Error(), text) {
		t.Errorf("got %v, want %v: %s", err, class, text)
	}
	if err != nil && strings.Contains(err.Error(), token[:20]) {
		t.Errorf("the token is in %v", err)
	}
}
