// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package sts_test

import (
	"strings"
	"testing"

	openapiutil "github.com/alibabacloud-go/darabonba-openapi/v2/utils"
	sdk "github.com/alibabacloud-go/sts-20150401/v2/client"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"

	"github.com/stscredential/sts-credential-operator/internal/sts"
)

func TestEndpoint(t *testing.T) {
	for _, c := range []struct {
		name string
		o    sts.Options
		want string
	}{
		{"a region", sts.Options{Region: "cn-hangzhou"}, "sts.cn-hangzhou.aliyuncs.com"},
		{"a region, inside a VPC", sts.Options{Region: "cn-hangzhou", VPC: true}, "sts-vpc.cn-hangzhou.aliyuncs.com"},
		{"a region abroad", sts.Options{Region: "us-east-1"}, "sts.us-east-1.aliyuncs.com"},
		{"a region yet to come", sts.Options{Region: "mars-north-7"}, "sts.mars-north-7.aliyuncs.com"},
		{"finance", sts.Options{Region: "cn-beijing-finance-pop"}, "sts.aliyuncs.com"},
		{"government", sts.Options{Region: "cn-beijing-gov-1"}, "sts.aliyuncs.com"},
		{"a URL", sts.Options{Region: "cn-hangzhou", VPC: true, Endpoint: "https://sts.internal:8443/"}, "sts.internal:8443"},
		{"a plain URL", sts.Options{Endpoint: "http://127.0.0.1:8080"}, "127.0.0.1:8080"},
		{"IPv6", sts.Options{Endpoint: "http://[::1]:8080"}, "[::1]:8080"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := newClient(t, c.o).Endpoint(); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

// Every exception that the SDK knows holds here, so that calls go where the SDK's
// own would.
func TestEndpointOfEachRegionInTheSDKsMap(t *testing.T) {
	client, err := sdk.NewClient(&openapiutil.Config{RegionId: ptr.To("cn-hangzhou")})
	if err != nil {
		t.Fatal(err)
	}
	if len(client.EndpointMap) < 30 {
		t.Errorf("the SDK's map has shrunk to %d regions", len(client.EndpointMap))
	}
	for region, host := range client.EndpointMap {
		for _, vpc := range []bool{false, true} {
			if got := newClient(t, sts.Options{Region: region, VPC: vpc}).Endpoint(); got != *host {
				t.Errorf("%s: got %s, want %s", region, got, *host)
			}
		}
	}
}

func TestMalformedEndpoint(t *testing.T) {
	for _, c := range []struct {
		name string
		o    sts.Options
		want string
	}{
		{"no region", sts.Options{}, "cn-hangzhou"},
		{"a region in capitals", sts.Options{Region: "CN-Hangzhou"}, "cn-hangzhou"},
		{"a region with a dot", sts.Options{Region: "cn-hangzhou.evil.com/"}, "cn-hangzhou"},
		{"a zone is no URL", sts.Options{Endpoint: "sts.aliyuncs.com"}, "https://"},
		{"another scheme", sts.Options{Endpoint: "ftp://sts.aliyuncs.com"}, "https://"},
		{"a path", sts.Options{Endpoint: "https://sts.aliyuncs.com/v1"}, "https://"},
		{"a query", sts.Options{Endpoint: "https://sts.aliyuncs.com?hush"}, "https://"},
		{"a password", sts.Options{Endpoint: "https://me:hush@sts.aliyuncs.com"}, "https://"},
		{"no host", sts.Options{Endpoint: "https://:443"}, "https://"},
		{"unreadable", sts.Options{Endpoint: "https://hush\x7f"}, "https://"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.o.Clock = clock.RealClock{}
			_, err := sts.New(c.o)
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "hush") {
				t.Errorf("got %v, want it to say %s", err, c.want)
			}
		})
	}
	if _, err := sts.New(sts.Options{Region: "cn-hangzhou"}); err == nil {
		t.Error("no clock, no error")
	}
}
