// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stsemulator_test

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	openapiutil "github.com/alibabacloud-go/darabonba-openapi/v2/utils"
	sts "github.com/alibabacloud-go/sts-20150401/v2/client"
	"github.com/alibabacloud-go/tea/tea"

	"github.com/stscredential/sts-credential-operator/internal/stsemulator"
)

// sdkClient is the Go STS SDK, pointed at an emulator; token is empty for a lasting key.
func sdkClient(t *testing.T, server *httptest.Server, id, secret, token string) *sts.Client {
	t.Helper()
	config := &openapiutil.Config{
		Protocol:        tea.String("http"),
		Endpoint:        tea.String(strings.TrimPrefix(server.URL, "http://")),
		AccessKeyId:     tea.String(id),
		AccessKeySecret: tea.String(secret),
	}
	if token != "" {
		config.Type = tea.String("sts")
		config.SecurityToken = tea.String(token)
	}
	client, err := sts.NewClient(config)
	if err != nil {
		t.Fatal(err)
	}
	client.Client.DisableSDKError = tea.Bool(true)
	return client
}

func TestSDKAssumesRole(t *testing.T) {
	emulator := stsemulator.New(stsemulator.Options{})
	server := httptest.NewServer(emulator)
	defer server.Close()
	key := emulator.AddUser(account, "operator")
	emulator.AddRole(stsemulator.Role{ARN: roleARN, Trust: trustAccount()})

	answer, err := sdkClient(t, server, key.ID, key.Secret, "").AssumeRole(&sts.AssumeRoleRequest{
		RoleArn:         tea.String(roleARN),
		RoleSessionName: tea.String("shop.orders-reader"),
		DurationSeconds: tea.Int64(900),
		Policy:          tea.String(`{"Version":"1","Statement":[{"Effect":"Allow","Action":"oss:Get*","Resource":"acs:oss:*:*:b+~x é"}]}`),
	})
	if err != nil {
		t.Fatal(err)
	}
	issued := answer.Body.Credentials
	until, err := time.Parse(time.RFC3339, tea.StringValue(issued.Expiration))
	if err != nil || time.Until(until) > 15*time.Minute || time.Until(until) < 14*time.Minute {
		t.Errorf("Expiration %v, %v: want 15 minutes from now", until, err)
	}
	caller, err := sdkClient(t, server, *issued.AccessKeyId, *issued.AccessKeySecret, *issued.SecurityToken).GetCallerIdentity()
	if err != nil {
		t.Fatal(err)
	}
	want := "acs:ram::" + account + ":assumed-role/orders-reader/shop.orders-reader"
	if got := tea.StringValue(caller.Body.Arn); got != want {
		t.Errorf("caller is %q, want %q", got, want)
	}
	if calls := emulator.Calls(); len(calls) != 2 || calls[1].CallerARN != want {
		t.Errorf("recorded %+v", calls)
	}
}
