// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package identity

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/credentials"
	"github.com/stscredential/sts-credential-operator/internal/sts"
)

// What AccessKeys look like. On the public cloud an ID has 16 to 24 letters and digits, mostly with LTAI at its start, and
// a secret 30 (https://rules.sonarsource.com/secrets/RSPEC-6336); private clouds have other lengths. The ID is sent as it
// is, so what is clearly none does not go to STS because somebody named the wrong key of a Secret.
var (
	accessKeyIDFormat     = regexp.MustCompile(`^[!-~]{1,128}$`)
	accessKeySecretFormat = regexp.MustCompile(`^[!-~]{1,128}$`)
	publicAccessKeyID     = regexp.MustCompile(`^LTAI[A-Za-z0-9]{12,20}$`)
	moreThanAnAccessKeyID = regexp.MustCompile(`^LTAI[A-Za-z0-9]{12,20}[^A-Za-z0-9]`)
)

// AccessKeysOptions say how AccessKeys in Secrets ask.
type AccessKeysOptions struct {
	// Reader reads Secrets from the API server, not from a cache: these Secrets are
	// nobody's but their owners', and a corrected one counts at once.
	Reader client.Reader
	// STS is asked.
	STS STSClient
	// Timeout bounds how long STS is asked whose an AccessKey is; 5 s if not set.
	Timeout time.Duration
	// Clock is the local clock.
	Clock clock.PassiveClock
}

// AccessKeys are the identities that ask with a RAM user's AccessKey in a Secret.
// No key is kept. It is safe for concurrent use.
type AccessKeys struct {
	reader client.Reader
	sts    STSClient
	owners *owners
}

// NewAccessKeys prepares them; nothing is called yet.
func NewAccessKeys(o AccessKeysOptions) *AccessKeys {
	return &AccessKeys{reader: o.Reader, sts: o.STS, owners: newOwners(o)}
}

// Identity is the AccessKey in that Secret as it is now, ready to ask. STS is asked once
// per namespace and AccessKey whose it is, by Identify; while it does not say, the
// Caller's Account is ratelimit.Unaccepted's, and a key that it refuses makes no other call.
// The error is an *UnavailableError or the context's.
func (a *AccessKeys) Identity(ctx context.Context, namespace string, spec v1alpha1.AccessKeyIdentity) (Identity, error) {
	where := keySecret{namespace, spec}
	secret, err := a.read(ctx, where)
	if err != nil {
		return Identity{}, err
	}
	keys, err := where.keysIn(secret)
	if err != nil {
		return Identity{}, err
	}
	caller, err, settled := a.owners.remembered(namespace, hashOf(keys))
	if err != nil {
		return Identity{}, where.refused(err)
	}
	asking := Identity{
		Caller: caller,
		AssumeRole: func(ctx context.Context, in credentials.Request) (credentials.Credentials, error) {
			return a.sts.AssumeRole(ctx, keys, in)
		},
		Invalidate: func() { a.owners.forget(namespace, keys) },
	}
	if !settled {
		asking.Identify = func(ctx context.Context) (sts.Caller, error) { return a.identify(ctx, where, keys) }
	}
	return asking, nil
}

func (a *AccessKeys) identify(ctx context.Context, where keySecret, keys credentials.Credentials) (sts.Caller, error) {
	caller, err := a.owners.identify(ctx, where.namespace, keys)
	var failed *sts.Error
	switch {
	case ctx.Err() != nil:
		return sts.Caller{}, ctx.Err()
	case errors.As(err, &failed) && failed.Class == sts.Throttled:
		return sts.Caller{}, failed
	case err != nil:
		return sts.Caller{}, where.refused(err)
	}
	return caller, nil
}

func (a *AccessKeys) read(ctx context.Context, where keySecret) (*corev1.Secret, error) {
	waiting, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	secret := &corev1.Secret{}
	err := a.reader.Get(waiting, types.NamespacedName{Namespace: where.namespace, Name: where.spec.SecretName}, secret)
	switch {
	case err == nil:
		return secret, nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case apierrors.IsNotFound(err):
		return nil, where.unavailable(sts.Refused, "it does not exist: create it with the keys %s and %s", where.spec.IDKey(), where.spec.SecretKey())
	case apierrors.IsForbidden(err):
		return nil, where.unavailable(sts.Refused, "the operator may not read it: give it the verb get on Secrets in namespace %s", where.namespace)
	default:
		return nil, where.unavailable(sts.Transient, "the API server did not give it: it is asked again by itself")
	}
}

// keySecret is a Secret that should hold an AccessKey.
type keySecret struct {
	namespace string
	spec      v1alpha1.AccessKeyIdentity
}

func (s keySecret) unavailable(class sts.Class, format string, args ...any) *UnavailableError {
	return &UnavailableError{
		Source: "Secret " + s.namespace + "/" + s.spec.SecretName, Class: class, NextStep: fmt.Sprintf(format, args...),
	}
}

// refused says that STS refuses the AccessKey.
func (s keySecret) refused(err error) *UnavailableError {
	return s.unavailable(sts.Refused, "%s", err.Error())
}

// keysIn takes the AccessKey from the Secret. Errors name keys, never values.
func (s keySecret) keysIn(secret *corev1.Secret) (credentials.Credentials, error) {
	id, err := s.value(secret, s.spec.IDKey())
	if err != nil {
		return credentials.Credentials{}, err
	}
	if strings.HasPrefix(id, "STS.") {
		return credentials.Credentials{}, s.unavailable(sts.Refused,
			"the key %s holds a temporary AccessKey ID, which works with its token only: give the AccessKey of a RAM user", s.spec.IDKey())
	}
	if !accessKeyIDFormat.MatchString(id) || moreThanAnAccessKeyID.MatchString(id) {
		return credentials.Credentials{}, s.unavailable(sts.Refused,
			"the value of the key %s does not look like an AccessKey ID and is not used: write the ID alone, at most 128 printable characters", s.spec.IDKey())
	}
	secretValue, err := s.value(secret, s.spec.SecretKey())
	if err != nil {
		return credentials.Credentials{}, err
	}
	if !accessKeySecretFormat.MatchString(secretValue) {
		return credentials.Credentials{}, s.unavailable(sts.Refused,
			"the value of the key %s does not look like an AccessKey secret and is not used: it has about 30 printable characters", s.spec.SecretKey())
	}
	if id == secretValue || publicAccessKeyID.MatchString(secretValue) {
		return credentials.Credentials{}, s.unavailable(sts.Refused,
			"the value of the key %s is an AccessKey ID or the same as that of %s, and neither is used: name the key of the ID and the key of the secret in spec.identity.accessKey",
			s.spec.SecretKey(), s.spec.IDKey())
	}
	return credentials.Credentials{AccessKeyID: id, AccessKeySecret: secretValue}, nil
}

func (s keySecret) value(secret *corev1.Secret, key string) (string, error) {
	raw, there := secret.Data[key]
	value := string(raw)
	switch {
	case !there:
		return "", s.unavailable(sts.Refused, "it has no key %s: add it, or name another one in spec.identity.accessKey", key)
	case value == "":
		return "", s.unavailable(sts.Refused, "its key %s is empty: fill it in", key)
	case strings.ContainsFunc(value, unicode.IsSpace):
		return "", s.unavailable(sts.Refused, "the value of its key %s holds white space, such as the line break that echo adds: write it without", key)
	}
	return value, nil
}
