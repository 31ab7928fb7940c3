// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package identity_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/credentials"
	"github.com/stscredential/sts-credential-operator/internal/identity"
	"github.com/stscredential/sts-credential-operator/internal/sts"
)

// Many AccessKeys in one namespace evict no AccessKey of another namespace.
func TestANamespaceEvictsItsOwnKeysOnly(t *testing.T) {
	w := newAccessKeyEnv(t)
	w.identity(t)
	made := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "hostile", Name: "made-up"}, Data: map[string][]byte{
		"accessKeySecret": []byte(strings.Repeat("x", 30)),
	}}
	const keys = 1100
	for i := range keys {
		made.Data[fmt.Sprint("id-", i)] = fmt.Appendf(nil, "LTAI5tMadeUpMadeUp%06d", i)
	}
	if err := w.api.Create(context.Background(), made); err != nil {
		t.Fatal(err)
	}
	for i := range keys {
		_, err := identified(context.Background(), w.keys, "hostile", v1alpha1.AccessKeyIdentity{SecretName: "made-up", AccessKeyIDKey: fmt.Sprint("id-", i)})
		if err == nil {
			t.Fatal("STS accepts a key that is made up")
		}
	}
	before := w.called("GetCallerIdentity")
	if before != keys+1 {
		t.Errorf("STS was asked %d times, want %d", before, keys+1)
	}
	w.identity(t)
	if n := w.called("GetCallerIdentity"); n != before {
		t.Error("the other namespace's AccessKey needs another GetCallerIdentity")
	}
}

// The same holds for accepted ServiceAccounts.
func TestANamespaceEvictsItsOwnServiceAccountsOnly(t *testing.T) {
	accounts := identity.NewServiceAccounts(identity.ServiceAccountsOptions{STS: takesAll{}, ProviderARN: provider, Client: giving("t").client()})
	accepted := func(namespace, name string) bool {
		caller, err := accounts.Identity(context.Background(), namespace, v1alpha1.ServiceAccountIdentity{Name: name})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := caller.AssumeRole(context.Background(), request); err != nil {
			t.Fatal(err)
		}
		return caller.Caller.Account == account
	}
	accepted("shop", "orders")
	for i := range 10100 {
		accepted("hostile", fmt.Sprint("made-", i))
	}
	if !accepted("shop", "orders") {
		t.Error("it is unknown again")
	}
}

// takesAll gives everybody a session.
type takesAll struct{}

func (takesAll) AssumeRoleWithOIDC(context.Context, sts.OIDCRequest) (credentials.Credentials, error) {
	return credentials.Credentials{}, nil
}

// The operator's own calls count: GetCallerIdentity, and those that its source may have made.
func TestCallsOfTheOperatorAreCounted(t *testing.T) {
	var spent []string
	s, a := &source{id: "k1"}, &fakeSTS{}
	operator := identity.NewOperator(identity.Options{
		NewFetch: s.newFetch, STS: a, Clock: newClock(), Spend: func(account string) { spent = append(spent, account) },
	})
	for range 3 {
		if err := operator.Identify(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	if len(spent) != 2 || a.calls != 1 {
		t.Errorf("%d calls were counted, want one of the source and one of %d", len(spent), a.calls)
	}
}
