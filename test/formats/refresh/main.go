// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command refresh is a workload that knows nothing of the operator: once a second it asks STS who it is, with what the SDK's
// default chain finds. It prints the answer when it changes, and each failure:
//
//	acs:ram::1234567890123456:assumed-role/orders-reader/shop.orders-reader
//	failure 1: InvalidSecurityToken.Expired
//
// The user agent of each call contains the pod: "refresh/<pod>".
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/url"
	"os"
	"os/signal"
	"syscall"
	"time"

	openapi "github.com/alibabacloud-go/darabonba-openapi/v2/utils"
	sts "github.com/alibabacloud-go/sts-20150401/v2/client"
	"github.com/alibabacloud-go/tea/tea"
	"github.com/aliyun/alibaba-cloud-sdk-go/sdk"
	v1 "github.com/aliyun/alibaba-cloud-sdk-go/sdk/auth/credentials"
	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/requests"
	"github.com/aliyun/credentials-go/credentials"
)

// caller asks STS who it is.
type caller func() (arn string, err error)

func main() {
	endpoint := flag.String("endpoint", "", "URL of STS.")
	client := flag.String("client", "v2", "v2 for the Go SDK V2 with one client for all calls, v2-each with a new client for each call, v1 for the Go SDK V1.")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *client, *endpoint); err != nil {
		fmt.Fprintln(os.Stderr, "refresh:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, client, endpoint string) error {
	at, err := url.Parse(endpoint)
	if err != nil {
		return err
	}
	hostname, err := os.Hostname()
	if err != nil {
		return err
	}
	call, err := newCaller(client, at, hostname)
	if err != nil {
		return err
	}
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	last, failures := "", 0
	for {
		arn, err := call()
		if err != nil {
			failures++
			fmt.Printf("failure %d: %v\n", failures, err)
		} else if arn != last {
			last = arn
			fmt.Println(arn)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

func newCaller(client string, at *url.URL, hostname string) (caller, error) {
	switch client {
	case "v2":
		return newV2(at, hostname)
	case "v2-each":
		return func() (string, error) {
			call, err := newV2(at, hostname)
			if err != nil {
				return "", err
			}
			return call()
		}, nil
	case "v1":
		return newV1(at, hostname)
	}
	return nil, fmt.Errorf("unknown client %q", client)
}

// newV2 calls STS with the Go SDK V2 and the default chain of credentials-go.
func newV2(at *url.URL, hostname string) (caller, error) {
	credential, err := credentials.NewCredential(nil)
	if err != nil {
		return nil, err
	}
	client, err := sts.NewClient(&openapi.Config{
		Protocol: &at.Scheme, Endpoint: &at.Host, NoProxy: tea.String(at.Hostname()), Credential: credential,
		UserAgent: tea.String("refresh/" + hostname),
	})
	if err != nil {
		return nil, err
	}
	return func() (string, error) {
		answer, err := client.GetCallerIdentity()
		if err != nil {
			return "", err
		}
		return tea.StringValue(answer.Body.Arn), nil
	}, nil
}

// newV1 calls STS with the Go SDK V1 and its default chain.
func newV1(at *url.URL, hostname string) (caller, error) {
	client, err := sdk.NewClientWithOptions("cn-hangzhou", sdk.NewConfig(), v1.NewDefaultCredentialsProvider())
	if err != nil {
		return nil, err
	}
	client.AppendUserAgent("refresh", hostname)
	return func() (string, error) {
		request := requests.NewCommonRequest()
		request.Method, request.Scheme, request.Domain = "POST", at.Scheme, at.Host
		request.Version, request.ApiName = "2015-04-01", "GetCallerIdentity"
		response, err := client.ProcessCommonRequest(request)
		if err != nil {
			return "", err
		}
		var answer struct{ Arn string }
		if err := json.Unmarshal(response.GetHttpContentBytes(), &answer); err != nil {
			return "", err
		}
		if answer.Arn == "" {
			return "", errors.New("the answer has no ARN")
		}
		return answer.Arn, nil
	}, nil
}
