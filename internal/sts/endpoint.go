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

// endpoint is where calls go.
type endpoint struct {
	scheme string // http or https
	host   string // with its port, if it was given one
}

var regionFormat = regexp.MustCompile(`^[a-z]{2,8}(-[a-z0-9]{1,32}){1,6}$`)

// resolve finds the endpoint of a region, as the SDK's own map has it: not every
// region has a host of its own. The SDK knows no VPC endpoint for those that do not.
func resolve(region string, vpc bool, override string) (endpoint, error) {
	if override != "" {
		return parse(override)
	}
	if !regionFormat.MatchString(region) {
		return endpoint{}, fmt.Errorf("region %.64q is not one of Alibaba Cloud's: write a region id such as cn-hangzhou", region)
	}
	network := "public"
	if vpc {
		network = "vpc"
	}
	client, err := sdk.NewClient(&openapiutil.Config{RegionId: &region, Network: &network})
	if err != nil {
		return endpoint{}, fmt.Errorf("no endpoint is known for region %q: give the endpoint's URL", region)
	}
	return endpoint{scheme: "https", host: ptr.Deref(client.Endpoint, "")}, nil
}

// parse reads an endpoint given as a URL. The URL is not repeated in the error:
// some write a password into it.
func parse(raw string) (endpoint, error) {
	u, err := url.Parse(raw)
	if err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Hostname() == "" || u.User != nil ||
		(u.Path != "" && u.Path != "/") || u.RawQuery != "" || u.Fragment != "" {
		return endpoint{}, errors.New("the STS endpoint is wrongly formed: write a URL of scheme, host and perhaps port only, such as https://sts.cn-hangzhou.aliyuncs.com")
	}
	return endpoint{scheme: u.Scheme, host: u.Host}, nil
}
