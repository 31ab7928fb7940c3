// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package identity_test

import (
	"context"
	"testing"

	"github.com/stscredential/sts-credential-operator/internal/identity"
	"github.com/stscredential/sts-credential-operator/internal/sts"
	"github.com/stscredential/sts-credential-operator/test/stsemulator"
)

func TestOperatorAssumesARole(t *testing.T) {
	emulator, server := newSTS(t)
	user := emulator.AddUser(account, "operator")
	const arn = "acs:ram::" + account + ":user/operator"
	emulator.AddRole(stsemulator.Role{ARN: roleARN, Trust: []stsemulator.Statement{{RAM: []string{arn}}}})
	environment(t, map[string]string{"ACCESS_KEY_ID": user.ID, "ACCESS_KEY_SECRET": user.Secret})
	operator, _ := operatorOn(t, server)
	emulator.Inject(stsemulator.Fault{Kind: stsemulator.FaultError, Code: "InternalError", Action: "GetCallerIdentity", Times: 1})
	caller, err := operator.Identity(context.Background())
	if err != nil || caller.Caller != (sts.Caller{}) {
		t.Fatalf("without the caller: %+v, %v", caller.Caller, err)
	}
	if session, err := caller.AssumeRole(context.Background(), request); err != nil || session.AssumedRoleARN != roleARN+"/shop.orders" {
		t.Errorf("as %s: %v", session.AssumedRoleARN, err)
	}

	operator, _ = operatorOn(t, server)
	if caller, err = operator.Identity(context.Background()); err != nil || caller.Caller.ARN != arn {
		t.Errorf("it is %+v, %v", caller.Caller, err)
	}
	s := &source{id: "k1"}
	operator = identity.NewOperator(identity.Options{NewFetch: s.newFetch, STS: &fakeSTS{}, Clock: newClock()})
	if caller, err = operator.Identity(context.Background()); err != nil {
		t.Fatal(err)
	}
	s.give("k2", nil)
	caller.Invalidate()
	if keys, err := operator.Credentials(context.Background()); err != nil || keys.AccessKeyID != "k2" {
		t.Errorf("after it went stale: %s, %v", keys.AccessKeyID, err)
	}
	_, err = newOperator(&source{err: errSource}, newClock()).Identity(context.Background())
	checkError(t, err)
}
