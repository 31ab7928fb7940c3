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

// expiration is the variable that tells when the credentials in the environment expire: the key of the format Plain.
const expiration = "expiration"

// introduce asks STS, before the first decision, who the operator is and what time it is, and logs both once.
func introduce(ctx context.Context, client *sts.Client, operator *identity.Operator) error {
	caller, err := ask(ctx, client, operator)
	if err != nil {
		return err
	}
	ctrl.Log.WithName("identity").Info("identity", "arn", caller.ARN, "account", caller.Account, "endpoint", client.URL(),
		"clockSkew", client.Skew().Truncate(time.Second).String())
	return nil
}

// tell asks STS who the operator is and prints the answer, as a line for people: what --whoami does.
func tell(ctx context.Context, out io.Writer, client *sts.Client, operator *identity.Operator) error {
	caller, err := ask(ctx, client, operator)
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

func ask(ctx context.Context, client *sts.Client, operator *identity.Operator) (sts.Caller, error) {
	if err := operator.Identify(ctx); err != nil {
		return sts.Caller{}, fmt.Errorf("ask %s who the operator is: %w", client.URL(), err)
	}
	caller, _ := operator.Caller()
	return caller, nil
}
