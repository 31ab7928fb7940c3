// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stsemulator

import (
	"crypto/sha256"
	"encoding/binary"
	"strconv"
	"sync"
	"time"
)

// AccessKey is a lasting key pair.
type AccessKey struct {
	ID     string `json:"accessKeyId"`
	Secret string `json:"accessKeySecret"`
}

// Role is a RAM role.
type Role struct {
	// ARN has the form acs:ram::<account>:role/<name>.
	ARN string
	// MaxSessionDuration is from one hour to twelve; 0 means one hour.
	MaxSessionDuration time.Duration
	// Trust lists who may assume the role; without any, nobody may.
	Trust []Statement
}

// Statement is an Allow statement of a role's trust policy: a principal that matches and all conditions met.
type Statement struct {
	// RAM names principals by ARN: users (…:user/<name>), roles (…:role/<name>) or, for every user and role of an
	// account, its root (acs:ram::<account>:root).
	RAM []string `json:"ram,omitempty"`
	// Federated names OIDC providers by ARN.
	Federated []string `json:"federated,omitempty"`
	// StringEquals holds conditions, each met by any of its values: sts:ExternalId and sts:SourceIdentity for RAM
	// principals; oidc:iss, oidc:aud and oidc:sub for federated ones. Any other key is never met.
	StringEquals map[string][]string `json:"stringEquals,omitempty"`
}

// keyEntry is an AccessKey with its owner and state.
type keyEntry struct {
	AccessKey
	owner    identity
	inactive bool
}

// directory is what RAM knows: keys, roles and providers.
type directory struct {
	mu        sync.RWMutex
	keys      map[string]*keyEntry
	roles     map[string]Role
	providers map[string]OIDCProvider
}

// AddUser adds a RAM user, acs:ram::<account>:user/<name>, and returns a new AccessKey of it. A further call with the
// same name adds a second key.
func (e *Emulator) AddUser(account, name string) AccessKey {
	return e.addNewKey(userIdentity(account, name))
}

// AddRootKey returns a new AccessKey of the main account itself, which STS lets assume no role.
func (e *Emulator) AddRootKey(account string) AccessKey {
	return e.addNewKey(rootIdentity(account))
}

// AddUserKey adds a RAM user's AccessKey whose id and secret are given, for demos and golden vectors.
func (e *Emulator) AddUserKey(account, name string, key AccessKey) {
	e.directory.putKey(key, userIdentity(account, name))
}

// SetKeyActive enables or disables an AccessKey and reports whether there is one of that id.
func (e *Emulator) SetKeyActive(id string, active bool) bool {
	e.directory.mu.Lock()
	defer e.directory.mu.Unlock()
	key, known := e.directory.keys[id]
	if known {
		key.inactive = !active
	}
	return known
}

// DeleteKey deletes an AccessKey and reports whether there was one of that id.
func (e *Emulator) DeleteKey(id string) bool {
	e.directory.mu.Lock()
	defer e.directory.mu.Unlock()
	_, known := e.directory.keys[id]
	delete(e.directory.keys, id)
	return known
}

// AddRole adds a role or replaces the one of that ARN.
func (e *Emulator) AddRole(role Role) {
	e.directory.mu.Lock()
	defer e.directory.mu.Unlock()
	e.directory.roles[role.ARN] = role
}

// RemoveRole removes a role. What was issued for it keeps working until it expires.
func (e *Emulator) RemoveRole(arn string) {
	e.directory.mu.Lock()
	defer e.directory.mu.Unlock()
	delete(e.directory.roles, arn)
}

// AddOIDCProvider adds an OIDC provider or replaces the one of that ARN.
func (e *Emulator) AddOIDCProvider(provider OIDCProvider) {
	e.directory.mu.Lock()
	defer e.directory.mu.Unlock()
	e.directory.providers[provider.ARN] = provider
}

func (e *Emulator) addNewKey(owner identity) AccessKey {
	key := AccessKey{ID: "LTAI5t" + randomText(18), Secret: randomText(30)}
	e.directory.putKey(key, owner)
	return key
}

func (d *directory) putKey(key AccessKey, owner identity) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.keys[key.ID] = &keyEntry{AccessKey: key, owner: owner}
}

// key returns a copy, so that nobody reads an entry while its state changes.
func (d *directory) key(id string) (keyEntry, bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	key, known := d.keys[id]
	if !known {
		return keyEntry{}, false
	}
	return *key, true
}

func (d *directory) role(arn string) (Role, bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	role, known := d.roles[arn]
	return role, known
}

func (d *directory) provider(arn string) (OIDCProvider, bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	provider, known := d.providers[arn]
	return provider, known
}

func userIdentity(account, name string) identity {
	arn := "acs:ram::" + account + ":user/" + name
	id := numericID("2", arn)
	return identity{account: account, arn: arn, kind: "RAMUser", userID: id, principalID: id}
}

func rootIdentity(account string) identity {
	return identity{
		account: account, arn: "acs:ram::" + account + ":root", kind: "Account", userID: account, principalID: account,
	}
}

// numericID derives the 18-digit id that RAM would have given the thing of that name; the first digit depends on its kind.
func numericID(kind, name string) string {
	sum := sha256.Sum256([]byte(name))
	const seventeenDigits = 1e17
	digits := strconv.FormatUint(binary.BigEndian.Uint64(sum[:8])%seventeenDigits+seventeenDigits, 10)
	return kind + digits[1:]
}
