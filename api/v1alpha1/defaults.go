// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"time"
)

const (
	// DefaultDuration is the default of spec.duration; also STS's own default.
	DefaultDuration = time.Hour

	// maxSessionName is STS's limit for RoleSessionName, in characters.
	maxSessionName = 64
	// sessionNameHash is the number of hexadecimal digits at the end of a shortened session name: enough that nobody can find
	// another object with the same session name.
	sessionNameHash = 16
)

// The default keys of a Secret with an AccessKey.
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

// Duration returns the requested lifetime of the credentials.
func (c *StsCredential) Duration() time.Duration {
	if c.Spec.Duration == nil {
		return DefaultDuration
	}
	return c.Spec.Duration.Duration
}

// RenewBefore returns how long before their expiration the credentials are renewed; 0 means a share of the lifetime.
func (c *StsCredential) RenewBefore() time.Duration {
	if c.Spec.RenewBefore == nil {
		return 0
	}
	return c.Spec.RenewBefore.Duration
}

// Restarts reports whether spec.rollout selects workloads to restart.
func (c *StsCredential) Restarts() bool {
	return c.Spec.Rollout.Mode == RolloutAuto || len(c.Spec.Rollout.Targets) > 0
}

// SecretName returns the name of the Secret for the credentials.
func (c *StsCredential) SecretName() string {
	if c.Spec.Secret.Name != "" {
		return c.Spec.Secret.Name
	}
	return c.Name
}

// WritesURI reports whether the Secret has what stscred-agent serves.
func (c *StsCredential) WritesURI() bool { return slices.Contains(c.Spec.Secret.Formats, FormatURI) }

// DefaultFormats is the default of spec.secret.formats.
func DefaultFormats() []SecretFormat { return []SecretFormat{FormatSDK} }

// RoleName returns the name of the role in spec.roleARN.
func (c *StsCredential) RoleName() string {
	return c.Spec.RoleARN[strings.LastIndex(c.Spec.RoleARN, "/")+1:]
}

// SessionPrefix returns the prefix of the session names of a namespace. clusterName may be empty.
func SessionPrefix(clusterName, namespace string) string {
	if clusterName == "" {
		return namespace + "."
	}
	return clusterName + "." + namespace + "."
}

// DefaultSessionName returns the default session name of an StsCredential: 2 to 64 characters, stable, and different for
// different objects.
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
