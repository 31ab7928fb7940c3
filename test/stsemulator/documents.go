// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stsemulator

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"
	"sigs.k8s.io/yaml"
)

// seedDocument is the written form of a directory, for Load.
type seedDocument struct {
	Users         []userDocument     `json:"users"`
	Roles         []roleDocument     `json:"roles"`
	OIDCProviders []providerDocument `json:"oidcProviders"`
}

// userDocument is an AccessKey with its owner: a RAM user, or the main account where root is set. Without an id and
// a secret they are made up.
type userDocument struct {
	Account string `json:"account"`
	Name    string `json:"name"`
	Root    bool   `json:"root"`
	AccessKey
}

// roleDocument is the written form of a Role.
type roleDocument struct {
	ARN                string      `json:"arn"`
	MaxSessionDuration duration    `json:"maxSessionDuration"`
	Trust              []Statement `json:"trust"`
}

// providerDocument is the written form of an OIDCProvider.
type providerDocument struct {
	ARN       string             `json:"arn"`
	Issuer    string             `json:"issuer"`
	ClientIDs []string           `json:"clientIDs"`
	JWKS      jose.JSONWebKeySet `json:"jwks"`
	JWKSURL   string             `json:"jwksURL"`
}

// faultDocument is the written form of a Fault.
type faultDocument struct {
	Action         string    `json:"action,omitempty"`
	RoleARN        string    `json:"roleARN,omitempty"`
	AccessKeyID    string    `json:"accessKeyID,omitempty"`
	Times          int       `json:"times,omitempty"`
	Kind           FaultKind `json:"kind"`
	Code           string    `json:"code,omitempty"`
	Message        string    `json:"message,omitempty"`
	Missing        string    `json:"missing,omitempty"`
	CallsPerSecond int       `json:"callsPerSecond,omitempty"`
	Duration       duration  `json:"duration,omitzero"`
}

// duration is written as Go writes durations: "90s", "-20m", "1h".
type duration time.Duration

// UnmarshalText reads a duration.
func (d *duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	*d = duration(parsed)
	return err
}

// MarshalText writes a duration.
func (d duration) MarshalText() ([]byte, error) {
	return []byte(time.Duration(d).String()), nil
}

// Load adds what a YAML or JSON document holds: users, roles and oidcProviders. Unknown fields and malformed ARNs are
// errors. On an error some of it may have been added.
func (e *Emulator) Load(document []byte) error {
	var seed seedDocument
	if err := yaml.UnmarshalStrict(document, &seed); err != nil {
		return fmt.Errorf("reading the seed: %w", err)
	}
	for _, user := range seed.Users {
		if _, err := user.add(e); err != nil {
			return err
		}
	}
	for _, role := range seed.Roles {
		if err := role.add(e); err != nil {
			return err
		}
	}
	for _, provider := range seed.OIDCProviders {
		if err := provider.add(e); err != nil {
			return err
		}
	}
	return nil
}

// add adds the key and returns it.
func (d userDocument) add(e *Emulator) (AccessKey, error) {
	switch {
	case d.Account == "":
		return AccessKey{}, errors.New("user: account is required")
	case d.Root == (d.Name != ""):
		return AccessKey{}, errors.New("user: set either name or root")
	case (d.ID == "") != (d.Secret == ""):
		return AccessKey{}, errors.New("user: accessKeyId and accessKeySecret go together")
	}
	owner := userIdentity(d.Account, d.Name)
	if d.Root {
		owner = rootIdentity(d.Account)
	}
	if d.ID == "" {
		return e.addNewKey(owner), nil
	}
	e.directory.putKey(d.AccessKey, owner)
	return d.AccessKey, nil
}

func (d roleDocument) add(e *Emulator) error {
	if !roleARNForm.MatchString(d.ARN) {
		return fmt.Errorf("role: arn %q is not of the form acs:ram::<account>:role/<name>", d.ARN)
	}
	longest := time.Duration(d.MaxSessionDuration)
	if longest != 0 && (longest < time.Hour || longest > 12*time.Hour) {
		return fmt.Errorf("role %s: maxSessionDuration is %s, not within 1h and 12h", d.ARN, longest)
	}
	e.AddRole(Role{ARN: d.ARN, MaxSessionDuration: longest, Trust: d.Trust})
	return nil
}

func (d providerDocument) add(e *Emulator) error {
	if !providerARNForm.MatchString(d.ARN) {
		return fmt.Errorf("provider: arn %q is not of the form acs:ram::<account>:oidc-provider/<name>", d.ARN)
	}
	if (len(d.JWKS.Keys) > 0) == (d.JWKSURL != "") {
		return fmt.Errorf("provider %s: set either jwks or jwksURL", d.ARN)
	}
	e.AddOIDCProvider(OIDCProvider{
		ARN: d.ARN, Issuer: d.Issuer, ClientIDs: d.ClientIDs, JWKS: d.JWKS, JWKSURL: d.JWKSURL,
	})
	return nil
}

// inject checks what a typing mistake would otherwise turn into a fault without effect.
func (d faultDocument) inject(e *Emulator) error {
	kinds := []FaultKind{
		FaultError, FaultThrottle, FaultEmpty, FaultBadGateway, FaultHang, FaultReset,
		FaultPartial, FaultBadExpiration, FaultLatency, FaultShortLifetime, FaultClockSkew,
	}
	parts := []string{"AccessKeyId", "AccessKeySecret", "SecurityToken", "Expiration", "Credentials"}
	switch {
	case !slices.Contains(kinds, d.Kind):
		return fmt.Errorf("fault: kind %q is none of %v", d.Kind, kinds)
	case d.Kind == FaultError && d.Code == "":
		return errors.New("fault: kind Error needs a code")
	case d.Kind == FaultPartial && !slices.Contains(parts, d.Missing):
		return fmt.Errorf("fault: missing %q is none of %v", d.Missing, parts)
	case d.Duration == 0 && slices.Contains([]FaultKind{FaultLatency, FaultShortLifetime, FaultClockSkew}, d.Kind):
		return fmt.Errorf("fault: kind %s needs a duration", d.Kind)
	case d.Times < 0:
		return errors.New("fault: times is negative")
	}
	e.Inject(Fault{
		Action: d.Action, RoleARN: d.RoleARN, AccessKeyID: d.AccessKeyID, Times: d.Times, Kind: d.Kind, Code: d.Code,
		Message: d.Message, Missing: d.Missing, CallsPerSecond: d.CallsPerSecond, Duration: time.Duration(d.Duration),
	})
	return nil
}

// document returns the written form of a fault.
func (f Fault) document() faultDocument {
	return faultDocument{
		Action: f.Action, RoleARN: f.RoleARN, AccessKeyID: f.AccessKeyID, Times: f.Times, Kind: f.Kind, Code: f.Code,
		Message: f.Message, Missing: f.Missing, CallsPerSecond: f.CallsPerSecond, Duration: duration(f.Duration),
	}
}
