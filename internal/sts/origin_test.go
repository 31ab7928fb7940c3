// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package sts_test

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stscredential/sts-credential-operator/internal/sts"
	"github.com/stscredential/sts-credential-operator/test/stsemulator"
)

// The error of a call without a response names the endpoint, and whether its region is the default.
func TestNetworkErrorsNameTheEndpointAndADefaultRegion(t *testing.T) {
	const hint = "region cn-hangzhou is the default; set --region, or the chart value region, to the cluster's region"
	const short = 50 * time.Millisecond
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	for _, c := range []struct {
		name    string
		proxy   string
		timeout time.Duration
		chosen  bool
		want    string
		hinting bool
	}{
		{"refused", closed.URL, time.Minute, false, "Check the endpoint sts.cn-hangzhou.aliyuncs.com (", true},
		{"timed out", silent(t), short, false, "check that the endpoint sts.cn-hangzhou.aliyuncs.com (", true},
		{"timed out in a region that was chosen", silent(t), short, true, "check that the endpoint sts.cn-hangzhou.aliyuncs.com can be reached", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv("HTTPS_PROXY", c.proxy)
			client := newClient(t, sts.Options{Region: "cn-hangzhou", RegionIsDefault: !c.chosen, Timeout: c.timeout})
			e := assume(context.Background(), client, anyKeys)
			if e == nil || e.Class != sts.Transient || !strings.Contains(e.Error(), c.want) || strings.Contains(e.Error(), hint) != c.hinting {
				t.Errorf("the error is: %v\nwant: %s", e, c.want)
			}
		})
	}
}

// silent returns the URL of a proxy that accepts connections and never responds.
func silent(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it ends with the test
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	return "http://" + listener.Addr().String()
}

// A value that STS refuses is named as it was sent, with where it came from.
func TestRefusedValuesAreNamedWithTheirOrigin(t *testing.T) {
	for _, c := range []struct {
		code   string
		origin sts.Origin
		want   string
	}{
		{"InvalidParameter.RoleSessionName", sts.Origin{}, `the session name "shop.orders-reader" is malformed. Write 2 to 64`},
		{"InvalidParameter.RoleSessionName", sts.Origin{DefaultSession: true}, `"shop.orders-reader" (the default: cluster name, namespace and name) is malformed`},
		{"InvalidParameter.RoleArn", sts.Origin{}, "the role ARN " + roleARN + " is malformed"},
		{"InvalidParameter.DurationSeconds", sts.Origin{}, "spec.duration (1h) exceeds MaxSessionDuration of role " + roleARN},
		{"InvalidParameter.PolicyGrammar", sts.Origin{}, "STS rejects the grammar of spec.policy"},
		{"InvalidParameter.PolicyGrammar", sts.Origin{Policy: "the policy of StsRoleGrant shop"}, "STS rejects the grammar of the policy of StsRoleGrant shop"},
		{"InvalidParameter.PolicySize", sts.Origin{Policy: "the policy of StsRoleGrant shop"}, "the policy of StsRoleGrant shop is too long"},
	} {
		t.Run(c.code, func(t *testing.T) {
			w := newEnvironment(t)
			w.emulator.Inject(stsemulator.Fault{Kind: stsemulator.FaultError, Code: c.code})
			e := assume(context.Background(), w.client(t), w.keys)
			if e == nil || !strings.Contains(e.WithOrigin(c.origin).Error(), c.want) {
				t.Errorf("the error is: %v\nwant: %s", e.WithOrigin(c.origin), c.want)
			}
		})
	}
}
