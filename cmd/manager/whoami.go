// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"time"

	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/stscredential/sts-credential-operator/internal/identity"
	"github.com/stscredential/sts-credential-operator/internal/sts"
)

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

// printIdentity calls GetCallerIdentity and prints the identity, for --whoami. With it, it prints the variable that has the
// expiration of credentials in the format Plain.
func printIdentity(ctx context.Context, client *sts.Client, operator *identity.Operator) error {
	caller, err := identify(ctx, client, operator)
	if err != nil {
		return err
	}
	line := caller.ARN
	if expiration := os.Getenv("expiration"); expiration != "" {
		line += ", expires " + expiration
	}
	_, err = fmt.Println(line)
	return err
}

func identify(ctx context.Context, client *sts.Client, operator *identity.Operator) (sts.Caller, error) {
	if err := operator.Identify(ctx); err != nil {
		return sts.Caller{}, fmt.Errorf("GetCallerIdentity at %s failed: %w", client.URL(), err)
	}
	caller, _ := operator.Caller()
	return caller, nil
}
