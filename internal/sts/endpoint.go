// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package sts

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"

	openapiutil "github.com/alibabacloud-go/darabonba-openapi/v2/utils"
	sdk "github.com/alibabacloud-go/sts-20150401/v2/client"
	"k8s.io/utils/ptr"
)

// endpoint is the endpoint of STS.
type endpoint struct {
	scheme string // http or https
	host   string // with its port, if one is set
}

var regionFormat = regexp.MustCompile(`^[a-z]{2,8}(-[a-z0-9]{1,32}){1,6}$`)

// resolve returns the endpoint of a region from the SDK's own map: not every region has its own host. For a region without
// one, the SDK has no VPC endpoint.
func resolve(region string, vpc bool, override string) (endpoint, error) {
	if override != "" {
		return parse(override)
	}
	if !regionFormat.MatchString(region) {
		return endpoint{}, fmt.Errorf("region %.64q is not a region of Alibaba Cloud. Write a region ID such as cn-hangzhou", region)
	}
	network := "public"
	if vpc {
		network = "vpc"
	}
	client, err := sdk.NewClient(&openapiutil.Config{RegionId: &region, Network: &network})
	if err != nil {
		return endpoint{}, fmt.Errorf("the endpoint of region %q is unknown. Set --sts-endpoint", region)
	}
	return endpoint{scheme: "https", host: ptr.Deref(client.Endpoint, "")}, nil
}

// parse parses the URL of an endpoint. The error does not repeat the URL, which may contain a password.
func parse(raw string) (endpoint, error) {
	u, err := url.Parse(raw)
	if err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Hostname() == "" || u.User != nil ||
		(u.Path != "" && u.Path != "/") || u.RawQuery != "" || u.Fragment != "" {
		return endpoint{}, errors.New("the STS endpoint is malformed. Write a URL of scheme, host and optional port, such as https://sts.cn-hangzhou.aliyuncs.com")
	}
	return endpoint{scheme: u.Scheme, host: u.Host}, nil
}
