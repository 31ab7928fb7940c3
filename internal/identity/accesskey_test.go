// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package identity_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/identity"
	"github.com/stscredential/sts-credential-operator/internal/sts"
	"github.com/stscredential/sts-credential-operator/test/stsemulator"
)

var ramUser = v1alpha1.AccessKeyIdentity{SecretName: "ram-user"}

// keySecret is the Secret shop/ram-user.
func keySecret(data map[string]string) *corev1.Secret {
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "ram-user"}, Data: map[string][]byte{}}
	for key, value := range data {
		secret.Data[key] = []byte(value)
	}
	return secret
}

func secretOf(key stsemulator.AccessKey) *corev1.Secret {
	return keySecret(map[string]string{"accessKeyId": key.ID, "accessKeySecret": key.Secret})
}

// accessKeyEnv is a RAM user's key in a Secret, and the STS that knows it.
type accessKeyEnv struct {
	emulator *stsemulator.Emulator
	api      client.Client
	clock    *clocktesting.FakePassiveClock
	user     stsemulator.AccessKey
	keys     *identity.AccessKeys
}

func newAccessKeyEnv(t *testing.T) *accessKeyEnv {
	t.Helper()
	emulator, server := newSTS(t)
	_, stsClient := operatorOn(t, server)
	w := &accessKeyEnv{emulator: emulator, clock: newClock(), user: emulator.AddUser(account, "orders")}
	emulator.AddRole(stsemulator.Role{ARN: roleARN, Trust: []stsemulator.Statement{{RAM: []string{"acs:ram::" + account + ":user/orders"}}}})
	w.api = fake.NewClientBuilder().WithObjects(secretOf(w.user)).Build()
	w.keys = identity.NewAccessKeys(identity.AccessKeysOptions{Reader: w.api, STS: stsClient, Clock: w.clock})
	return w
}

// put replaces the Secret.
func (w *accessKeyEnv) put(t *testing.T, secret *corev1.Secret) {
	t.Helper()
	if err := w.api.Update(context.Background(), secret); err != nil {
		t.Fatal(err)
	}
}

// called counts the calls of that action.
func (w *accessKeyEnv) called(action string) (n int) {
	for _, call := range w.emulator.Calls() {
		if call.Action == action {
			n++
		}
	}
	return n
}

func (w *accessKeyEnv) identity(t *testing.T) identity.Identity {
	t.Helper()
	caller, err := identified(context.Background(), w.keys, "shop", ramUser)
	if err != nil {
		t.Fatal(err)
	}
	return caller
}

// identified returns the identity of an AccessKey, after GetCallerIdentity if that is needed.
func identified(ctx context.Context, keys *identity.AccessKeys, namespace string, spec v1alpha1.AccessKeyIdentity) (identity.Identity, error) {
	caller, err := keys.Identity(ctx, namespace, spec)
	if err != nil || caller.Identify == nil {
		return caller, err
	}
	caller.Caller, err = caller.Identify(ctx)
	return caller, err
}

func (w *accessKeyEnv) expectAssumes(t *testing.T, caller identity.Identity) {
	t.Helper()
	session, err := caller.AssumeRole(context.Background(), request)
	if err != nil || session.AssumedRoleARN != roleARN+"/shop.orders" {
		t.Errorf("as %s: %v", session.AssumedRoleARN, err)
	}
}

func TestAccessKeyAssumesARole(t *testing.T) {
	w := newAccessKeyEnv(t)
	const orders, payments = "acs:ram::" + account + ":user/orders", "acs:ram::" + account + ":user/payments"
	for range 3 {
		caller := w.identity(t)
		if caller.Caller.ARN != orders || caller.Caller.Account != account {
			t.Errorf("it is %+v", caller.Caller)
		}
		w.expectAssumes(t, caller)
	}
	if n := w.called("GetCallerIdentity"); n != 1 {
		t.Errorf("asked %d times who it is, want 1", n)
	}
	w.put(t, secretOf(w.emulator.AddUser(account, "payments")))
	if caller := w.identity(t); caller.Caller.ARN != payments {
		t.Errorf("after the Secret has changed it is %s", caller.Caller.ARN)
	}
	w.put(t, secretOf(w.user))
	w.identity(t).Invalidate()
	w.identity(t)
	if n := w.called("GetCallerIdentity"); n != 3 {
		t.Errorf("asked %d times who it is, want 3: anew when STS has called it stale", n)
	}
}

func TestAccessKeyUnderOtherKeys(t *testing.T) {
	w := newAccessKeyEnv(t)
	w.put(t, keySecret(map[string]string{"ID": w.user.ID, "its.secret": w.user.Secret}))
	spec := ramUser
	spec.AccessKeyIDKey, spec.AccessKeySecretKey = "ID", "its.secret"
	caller, err := w.keys.Identity(context.Background(), "shop", spec)
	if err != nil {
		t.Fatal(err)
	}
	w.expectAssumes(t, caller)
}

// A value that is no AccessKey is neither sent nor shown.
func TestSecretsThatHoldNoAccessKey(t *testing.T) {
	const id, secret = "LTAI5tHushHushHushHush12", "HushHushHushHushHushHushHush12"
	for name, c := range map[string]struct {
		data map[string]string
		want string
	}{
		"nothing":             {nil, "the Secret has no key accessKeyId. Add the key"},
		"no secret":           {map[string]string{"accessKeyId": id}, "the Secret has no key accessKeySecret"},
		"an empty id":         {map[string]string{"accessKeyId": "", "accessKeySecret": secret}, "the key accessKeyId is empty"},
		"an empty secret":     {map[string]string{"accessKeyId": id, "accessKeySecret": ""}, "the key accessKeySecret is empty"},
		"echo's line break":   {map[string]string{"accessKeyId": id + "\n", "accessKeySecret": secret}, "key accessKeyId contains white space"},
		"a secret's space":    {map[string]string{"accessKeyId": id, "accessKeySecret": secret + " "}, "key accessKeySecret contains white space"},
		"both in one":         {map[string]string{"accessKeyId": id + ":" + secret, "accessKeySecret": secret}, "key accessKeyId does not look like an AccessKey ID"},
		"a secret for an id":  {map[string]string{"accessKeyId": secret, "accessKeySecret": id}, "key accessKeySecret is an AccessKey ID or the same"},
		"one for both":        {map[string]string{"accessKeyId": secret, "accessKeySecret": secret}, "key accessKeySecret is an AccessKey ID or the same"},
		"bytes for an id":     {map[string]string{"accessKeyId": "hush\x00\xff", "accessKeySecret": secret}, "key accessKeyId does not look like"},
		"a token for an id":   {map[string]string{"accessKeyId": "eyJhbGciOi." + strings.Repeat("hush", 30), "accessKeySecret": secret}, "key accessKeyId does not look like"},
		"a temporary key":     {map[string]string{"accessKeyId": "STS.NTHushHushHushHush", "accessKeySecret": secret}, "temporary AccessKey ID"},
		"bytes for a secret":  {map[string]string{"accessKeyId": id, "accessKeySecret": "hush\x00\xff"}, "does not look like an AccessKey secret"},
		"a file for a secret": {map[string]string{"accessKeyId": id, "accessKeySecret": strings.Repeat("hush", 100)}, "does not look like an AccessKey secret"},
	} {
		t.Run(name, func(t *testing.T) {
			keys := identity.NewAccessKeys(identity.AccessKeysOptions{
				Reader: fake.NewClientBuilder().WithObjects(keySecret(c.data)).Build(), STS: noSTS{t}, Clock: newClock(),
			})
			_, err := keys.Identity(context.Background(), "shop", ramUser)
			expectAboutSecret(t, err, sts.Refused, c.want)
			if strings.Contains(strings.ToLower(err.Error()), "hush") {
				t.Errorf("the error is: %v", err)
			}
		})
	}
}

// Private clouds have AccessKey IDs of other lengths.
func TestAccessKeyIDsOfAnyLengthAreAccepted(t *testing.T) {
	for _, id := range []string{"k", "abcdefghij012345678", "LTAI5tExampleExample1234", "a-b_c.d/e", strings.Repeat("k", 128)} {
		w := newAccessKeyEnv(t)
		key := stsemulator.AccessKey{ID: id, Secret: "aSecret"}
		w.emulator.AddUserKey(account, "orders", key)
		w.put(t, secretOf(key))
		w.expectAssumes(t, w.identity(t))
	}
}

func expectAboutSecret(t *testing.T, err error, class sts.Class, want string) {
	t.Helper()
	checkError(t, err)
	var unavailable *identity.UnavailableError
	if !errors.As(err, &unavailable) || unavailable.Class != class || !strings.Contains(err.Error(), "Secret shop/ram-user: ") || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %v: %s", err, class, want)
	}
}

func TestSecretsThatCannotBeRead(t *testing.T) {
	resource := schema.GroupResource{Resource: "secrets"}
	for name, c := range map[string]struct {
		answer error
		class  sts.Class
		want   string
	}{
		"not there":     {apierrors.NewNotFound(resource, "ram-user"), sts.Refused, "Create it with the keys accessKeyId and accessKeySecret"},
		"no right":      {apierrors.NewForbidden(resource, "ram-user", errors.New("hush")), sts.Refused, "the operator may not read the Secret"},
		"a busy server": {apierrors.NewTooManyRequests("hush", 1), sts.Transient, "the operator retries"},
		"no network":    {errors.New("GET https://hush"), sts.Transient, "the operator retries"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := failingReader(c.answer, noSTS{t}).Identity(context.Background(), "shop", ramUser)
			expectAboutSecret(t, err, c.class, c.want)
		})
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := failingReader(context.Canceled, noSTS{t}).Identity(ctx, "shop", ramUser); !errors.Is(err, context.Canceled) {
		t.Errorf("given up: got %v", err)
	}
}

func failingReader(err error, fakeSTS identity.STSClient) *identity.AccessKeys {
	reader := fake.NewClientBuilder().WithInterceptorFuncs(interceptor.Funcs{
		Get: func(context.Context, client.WithWatch, client.ObjectKey, client.Object, ...client.GetOption) error {
			return err
		},
	}).Build()
	return identity.NewAccessKeys(identity.AccessKeysOptions{Reader: reader, STS: fakeSTS, Clock: newClock()})
}

// A refused AccessKey makes no AssumeRole and no repeated GetCallerIdentity. It is tried again as soon as it is changed, or ten
// seconds after it was corrected in RAM.
func TestAccessKeysThatSTSRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		spoil, mend func(*testing.T, *accessKeyEnv)
		want        string
		inRAM       bool
	}{
		"the secret of another key": {
			func(t *testing.T, w *accessKeyEnv) {
				w.put(t, secretOf(stsemulator.AccessKey{ID: w.user.ID, Secret: "Hush"}))
			},
			func(t *testing.T, w *accessKeyEnv) { w.put(t, secretOf(w.user)) },
			"SignatureDoesNotMatch (RequestId ", false,
		},
		"disabled in RAM": {
			func(_ *testing.T, w *accessKeyEnv) { w.emulator.SetKeyActive(w.user.ID, false) },
			func(_ *testing.T, w *accessKeyEnv) { w.emulator.SetKeyActive(w.user.ID, true) },
			"InvalidAccessKeyId.Inactive (RequestId ", true,
		},
		"deleted in RAM": {
			func(_ *testing.T, w *accessKeyEnv) { w.emulator.DeleteKey(w.user.ID) },
			func(_ *testing.T, w *accessKeyEnv) { w.emulator.AddUserKey(account, "orders", w.user) },
			"InvalidAccessKeyId.NotFound (RequestId ", true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newAccessKeyEnv(t)
			c.spoil(t, w)
			for range 2 {
				_, err := identified(context.Background(), w.keys, "shop", ramUser)
				expectAboutSecret(t, err, sts.Refused, c.want)
			}
			if n, whose := w.called("AssumeRole"), w.called("GetCallerIdentity"); n != 0 || whose != 1 {
				t.Errorf("%d calls of AssumeRole and %d of GetCallerIdentity", n, whose)
			}
			c.mend(t, w)
			if c.inRAM {
				w.clock.SetTime(w.clock.Now().Add(10 * time.Second))
			}
			w.expectAssumes(t, w.identity(t))
		})
	}
}

// An AccessKey that is deleted after its caller is cached: the call fails, and so does the next Identity.
func TestStaleAccessKey(t *testing.T) {
	w := newAccessKeyEnv(t)
	caller := w.identity(t)
	w.emulator.DeleteKey(w.user.ID)
	_, err := caller.AssumeRole(context.Background(), request)
	var failed *sts.Error
	if !errors.As(err, &failed) || failed.Class != sts.StaleIdentity {
		t.Fatalf("got %v", err)
	}
	caller.Invalidate()
	_, err = identified(context.Background(), w.keys, "shop", ramUser)
	expectAboutSecret(t, err, sts.Refused, "InvalidAccessKeyId.NotFound")
}
