// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"

	"k8s.io/client-go/kubernetes"

	"github.com/stscredential/sts-credential-operator/test/stsemulator"
)

// What stscredential-serviceaccount.yaml names.
const (
	third       = "orders-writer"
	writerARN   = "acs:ram::" + account + ":role/orders-writer"
	providerARN = "acs:ram::" + account + ":oidc-provider/ack-rrsa-c1"
	subject     = "system:serviceaccount:" + namespace + ":orders"
	audience    = "sts.aliyuncs.com"
)

// keyless has a ServiceAccount ask, with a token that the cluster's API server mints.
func (d *demo) keyless(ctx context.Context) error {
	d.note("the RAM administrator registers this cluster's issuer and keys, and lets %s trust %s there", writerARN, subject)
	if err := d.trustCluster(ctx); err != nil {
		return err
	}
	if d.context == "" {
		d.note("a cluster admin lets the operator request tokens of this one ServiceAccount")
		if err := d.kubectlAll(ctx,
			[]string{"create", "role", "sts-tokens-of-orders", "-n", namespace, "--verb=create", "--resource=serviceaccounts/token", "--resource-name=orders"},
			[]string{"create", "rolebinding", "sts-tokens-of-orders", "-n", namespace, "--role=sts-tokens-of-orders", "--serviceaccount=" + operatorNamespace + ":" + operatorName},
		); err != nil {
			return err
		}
	}
	d.note("no grant covers this role, and no key is in the namespace:")
	if err := d.kubectlAll(ctx,
		[]string{"apply", "-f", "config/samples/stscredential-serviceaccount.yaml"},
		[]string{"wait", "stscred/" + third, "-n", namespace, "--for=condition=Ready", "--timeout=60s"},
		[]string{"get", "stscred", "-n", namespace},
	); err != nil {
		return err
	}
	t, err := d.readTriple(ctx, third)
	if err != nil {
		return err
	}
	return d.works(ctx, third, "the triple", t)
}

// trustCluster tells the emulated STS the keys that the cluster signs its tokens with.
func (d *demo) trustCluster(ctx context.Context) error {
	cluster, err := kubernetes.NewForConfig(d.config)
	if err != nil {
		return err
	}
	discovery, err := cluster.RESTClient().Get().AbsPath("/.well-known/openid-configuration").DoRaw(ctx)
	if err != nil {
		return err
	}
	var issuer struct{ Issuer string }
	if err := json.Unmarshal(discovery, &issuer); err != nil {
		return err
	}
	published, err := cluster.RESTClient().Get().AbsPath("/openid/v1/jwks").DoRaw(ctx)
	if err != nil {
		return err
	}
	keys, err := stsemulator.ParseJWKS(published)
	if err != nil {
		return err
	}
	d.sts.AddOIDCProvider(stsemulator.OIDCProvider{ARN: providerARN, Issuer: issuer.Issuer, ClientIDs: []string{audience}, JWKS: keys})
	d.sts.AddRole(stsemulator.Role{ARN: writerARN, Trust: []stsemulator.Statement{{
		Federated:    []string{providerARN},
		StringEquals: map[string][]string{"oidc:iss": {issuer.Issuer}, "oidc:aud": {audience}, "oidc:sub": {subject}},
	}}})
	return nil
}
