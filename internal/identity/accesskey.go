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
	"github.com/stscredential/sts-credential-operator/internal/ratelimit"
	"github.com/stscredential/sts-credential-operator/internal/sts"
)

// Formats of AccessKeys. On the public cloud an ID has 16 to 24 letters and digits, mostly with the prefix LTAI, and a secret
// has 30 (https://rules.sonarsource.com/secrets/RSPEC-6336); private clouds have other lengths. The ID is sent in plain text,
// so a value that is clearly no ID is not sent to STS: a user may have named the wrong key of a Secret.
var (
	accessKeyIDFormat     = regexp.MustCompile(`^[!-~]{1,128}$`)
	accessKeySecretFormat = regexp.MustCompile(`^[!-~]{1,128}$`)
	publicAccessKeyID     = regexp.MustCompile(`^LTAI[A-Za-z0-9]{12,20}$`)
	moreThanAnAccessKeyID = regexp.MustCompile(`^LTAI[A-Za-z0-9]{12,20}[^A-Za-z0-9]`)
)

// AccessKeysOptions are the options of AccessKeys.
type AccessKeysOptions struct {
	// Reader reads Secrets from the API server, not from a cache: the cache holds the operator's own Secrets only, and a
	// corrected Secret takes effect at once.
	Reader client.Reader
	// STS is the client for their calls.
	STS STSClient
	// Timeout bounds GetCallerIdentity; 5 s if not set.
	Timeout time.Duration
	// Clock is the local clock.
	Clock clock.PassiveClock
}

// AccessKeys provides the identities of RAM users whose AccessKeys are in Secrets. It keeps no AccessKey. It is safe for
// concurrent use.
type AccessKeys struct {
	reader  client.Reader
	sts     STSClient
	callers *callerCache
}

// refusalHold is how long a refused AccessKey is not tried again: short, because it can be enabled at any time, but long
// enough to bound the calls that a namespace can cause.
const refusalHold = 10 * time.Second

// NewAccessKeys returns AccessKeys; it makes no call.
func NewAccessKeys(o AccessKeysOptions) *AccessKeys {
	if o.Timeout <= 0 {
		o.Timeout = callerTimeout
	}
	return &AccessKeys{reader: o.Reader, sts: o.STS, callers: &callerCache{
		sts: o.STS, timeout: o.Timeout, clock: o.Clock, lastRefusal: refusalHold, entries: newPerNamespace(),
		called: func(credentials.Credentials, sts.Caller, error) {},
	}}
}

// Identity returns the identity of the AccessKey in a Secret, as the Secret is now. Identify calls GetCallerIdentity once per
// namespace and AccessKey. Until that succeeds, the Caller's Account is ratelimit.Unaccepted's; an AccessKey that STS refuses
// makes no other call. The error is an *UnavailableError or the context's.
func (a *AccessKeys) Identity(ctx context.Context, namespace string, spec v1alpha1.AccessKeyIdentity) (Identity, error) {
	where := keySecret{namespace, spec}
	secret, err := a.read(ctx, where)
	if err != nil {
		return Identity{}, err
	}
	signer, err := where.accessKey(secret)
	if err != nil {
		return Identity{}, err
	}
	identity := Identity{
		AssumeRole: func(ctx context.Context, in credentials.Request) (credentials.Credentials, error) {
			return a.sts.AssumeRole(ctx, signer, in)
		},
		Invalidate: func() { a.callers.forget(namespace, signer) },
	}
	caller, err, ok := a.callers.cached(namespace, hashOf(signer))
	if !ok {
		identity.Identify = func(ctx context.Context) (sts.Caller, error) { return a.identify(ctx, where, signer) }
		identity.Caller = where.unaccepted()
		return identity, nil
	}
	identity.Caller, err = where.caller(caller, err)
	return identity, err
}

func (a *AccessKeys) identify(ctx context.Context, where keySecret, signer credentials.Credentials) (sts.Caller, error) {
	caller, err := a.callers.get(ctx, where.namespace, signer)
	var failed *sts.Error
	switch {
	case ctx.Err() != nil:
		return sts.Caller{}, ctx.Err()
	case errors.As(err, &failed) && failed.Class == sts.Throttled:
		return sts.Caller{}, failed
	}
	return where.caller(caller, err)
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
		return nil, where.unavailable(sts.Refused, "the Secret does not exist. Create it with the keys %s and %s", where.spec.IDKey(), where.spec.SecretKey())
	case apierrors.IsForbidden(err):
		return nil, where.unavailable(sts.Refused, "the operator may not read the Secret. Grant it the verb get on Secrets in namespace %s", where.namespace)
	default:
		return nil, where.unavailable(sts.Transient, "the API server failed to return the Secret; the operator retries")
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

// caller returns the caller of the AccessKey from the result of GetCallerIdentity. The error says that STS refuses the
// AccessKey; after any other failure, calls are made without the caller's identity.
func (s keySecret) caller(caller sts.Caller, err error) (sts.Caller, error) {
	switch {
	case isRefusal(err):
		return sts.Caller{}, s.unavailable(sts.Refused, "%s", err.Error())
	case err != nil:
		return s.unaccepted(), nil //nolint:nilerr // calls are made without the caller's identity
	}
	return caller, nil
}

// unaccepted returns the caller of an AccessKey whose account is not known.
func (s keySecret) unaccepted() sts.Caller {
	return sts.Caller{Account: ratelimit.Unaccepted(s.namespace)}
}

// accessKey returns the AccessKey in the Secret. Errors name keys, never values.
func (s keySecret) accessKey(secret *corev1.Secret) (credentials.Credentials, error) {
	id, err := s.value(secret, s.spec.IDKey())
	if err != nil {
		return credentials.Credentials{}, err
	}
	if strings.HasPrefix(id, "STS.") {
		return credentials.Credentials{}, s.unavailable(sts.Refused,
			"the key %s holds a temporary AccessKey ID, which works only with its security token. Use the AccessKey of a RAM user", s.spec.IDKey())
	}
	if !accessKeyIDFormat.MatchString(id) || moreThanAnAccessKeyID.MatchString(id) {
		return credentials.Credentials{}, s.unavailable(sts.Refused,
			"the value of the key %s does not look like an AccessKey ID and is not used. Write the ID alone, at most 128 printable characters", s.spec.IDKey())
	}
	secretValue, err := s.value(secret, s.spec.SecretKey())
	if err != nil {
		return credentials.Credentials{}, err
	}
	if !accessKeySecretFormat.MatchString(secretValue) {
		return credentials.Credentials{}, s.unavailable(sts.Refused,
			"the value of the key %s does not look like an AccessKey secret and is not used. Write the secret alone, about 30 printable characters", s.spec.SecretKey())
	}
	if id == secretValue || publicAccessKeyID.MatchString(secretValue) {
		return credentials.Credentials{}, s.unavailable(sts.Refused,
			"the value of the key %s is an AccessKey ID or the same as the value of the key %s, and neither is used. Set accessKeyIDKey and accessKeySecretKey in spec.identity.accessKey",
			s.spec.SecretKey(), s.spec.IDKey())
	}
	return credentials.Credentials{AccessKeyID: id, AccessKeySecret: secretValue}, nil
}

func (s keySecret) value(secret *corev1.Secret, key string) (string, error) {
	raw, found := secret.Data[key]
	value := string(raw)
	switch {
	case !found:
		return "", s.unavailable(sts.Refused, "the Secret has no key %s. Add the key, or name another one in spec.identity.accessKey", key)
	case value == "":
		return "", s.unavailable(sts.Refused, "the key %s is empty. Write the value", key)
	case strings.ContainsFunc(value, unicode.IsSpace):
		return "", s.unavailable(sts.Refused, "the value of the key %s contains white space, such as the line break that echo adds. Remove the white space", key)
	}
	return value, nil
}
