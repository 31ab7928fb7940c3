// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"time"
)

const (
	// DefaultDuration is how long credentials are asked for when spec.duration is left out; also STS's own default.
	DefaultDuration = time.Hour

	// maxSessionName is STS's limit for RoleSessionName, in characters.
	maxSessionName = 64
	// sessionNameHash is how many hexadecimal digits stand at the end of a shortened session name: enough that nobody
	// finds a name whose session reads like somebody else's.
	sessionNameHash = 16
)

// The keys of a Secret with an AccessKey, unless spec.identity.accessKey names others.
const (
	DefaultAccessKeyIDKey     = "accessKeyId"
	DefaultAccessKeySecretKey = "accessKeySecret"
)

// IDKey returns the key in the Secret that holds the AccessKey ID.
func (a *AccessKeyIdentity) IDKey() string { return cmp.Or(a.AccessKeyIDKey, DefaultAccessKeyIDKey) }

// SecretKey returns the key in the Secret that holds the AccessKey secret.
func (a *AccessKeyIdentity) SecretKey() string {
	return cmp.Or(a.AccessKeySecretKey, DefaultAccessKeySecretKey)
}

// Duration returns how long credentials are asked for.
func (c *StsCredential) Duration() time.Duration {
	if c.Spec.Duration == nil {
		return DefaultDuration
	}
	return c.Spec.Duration.Duration
}

// RenewBefore returns how long before expiry the credentials are replaced, or 0 where that is a share of the lifetime.
func (c *StsCredential) RenewBefore() time.Duration {
	if c.Spec.RenewBefore == nil {
		return 0
	}
	return c.Spec.RenewBefore.Duration
}

// Restarts reports whether the spec asks for workloads to be restarted after each renewal.
func (c *StsCredential) Restarts() bool {
	return c.Spec.Rollout.Mode == RolloutAuto || len(c.Spec.Rollout.Targets) > 0
}

// SecretName returns the name of the Secret that the credentials are written to.
func (c *StsCredential) SecretName() string {
	if c.Spec.Secret.Name != "" {
		return c.Spec.Secret.Name
	}
	return c.Name
}

// DefaultFormats are the formats that are written when spec.secret.formats is left out.
func DefaultFormats() []SecretFormat { return []SecretFormat{FormatSDK} }

// RoleName returns the name of the role in spec.roleARN.
func (c *StsCredential) RoleName() string {
	return c.Spec.RoleARN[strings.LastIndex(c.Spec.RoleARN, "/")+1:]
}

// SessionPrefix returns what the session names of a namespace start with. clusterName may be empty.
func SessionPrefix(clusterName, namespace string) string {
	if clusterName == "" {
		return namespace + "."
	}
	return clusterName + "." + namespace + "."
}

// DefaultSessionName returns the session name of a StsCredential that sets none: 2 to 64 characters, stable, and
// different for different objects.
func (c *StsCredential) DefaultSessionName(clusterName string) string {
	name := SessionPrefix(clusterName, c.Namespace) + c.Name
	if len(name) <= maxSessionName {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	return name[:maxSessionName-sessionNameHash-1] + "-" + hex.EncodeToString(sum[:])[:sessionNameHash]
}

// SessionName returns the session name in effect.
func (c *StsCredential) SessionName(clusterName string) string {
	if c.Spec.SessionName != "" {
		return c.Spec.SessionName
	}
	return c.DefaultSessionName(clusterName)
}
