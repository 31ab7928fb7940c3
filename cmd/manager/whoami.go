// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/stscredential/sts-credential-operator/internal/identity"
	"github.com/stscredential/sts-credential-operator/internal/sts"
)

// expiration is the environment variable with the expiration of the credentials: a key of the format Plain.
const expiration = "expiration"

// logIdentity calls GetCallerIdentity and logs the operator's identity and the clock skew.
func logIdentity(ctx context.Context, client *sts.Client, operator *identity.Operator) error {
	caller, err := identify(ctx, client, operator)
	if err != nil {
		return err
	}
	ctrl.Log.WithName("identity").Info("identity", "arn", caller.ARN, "account", caller.Account, "endpoint", client.URL(),
		"clockSkew", client.Skew().Truncate(time.Second).String())
	return nil
}

// printIdentity calls GetCallerIdentity and prints the identity: what --whoami does.
func printIdentity(ctx context.Context, out io.Writer, client *sts.Client, operator *identity.Operator) error {
	caller, err := identify(ctx, client, operator)
	if err != nil {
		return err
	}
	line := caller.ARN
	if expires := os.Getenv(expiration); expires != "" {
		line += ", expires " + expires
	}
	_, err = fmt.Fprintln(out, line)
	return err
}

func identify(ctx context.Context, client *sts.Client, operator *identity.Operator) (sts.Caller, error) {
	if err := operator.Identify(ctx); err != nil {
		return sts.Caller{}, fmt.Errorf("GetCallerIdentity at %s failed: %w", client.URL(), err)
	}
	caller, _ := operator.Caller()
	return caller, nil
}
