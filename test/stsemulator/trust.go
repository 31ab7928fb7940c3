// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stsemulator

import "slices"

// trustsRAM reports whether the role's trust policy lets a user or an assumed role in.
func (r Role) trustsRAM(caller identity, facts map[string][]string) bool {
	names := []string{caller.arn, "acs:ram::" + caller.account + ":root"}
	if caller.roleARN != "" {
		names[0] = caller.roleARN // a trust policy names the role, not its session
	}
	return slices.ContainsFunc(r.Trust, func(s Statement) bool {
		return overlap(s.RAM, names) && s.conditionsMet(facts)
	})
}

// trustsFederated reports whether the role's trust policy lets in what an OIDC provider vouches for.
func (r Role) trustsFederated(providerARN string, facts map[string][]string) bool {
	return slices.ContainsFunc(r.Trust, func(s Statement) bool {
		return slices.Contains(s.Federated, providerARN) && s.conditionsMet(facts)
	})
}

// conditionsMet holds the call's facts against every condition; a key that the call's facts lack is not met.
func (s Statement) conditionsMet(facts map[string][]string) bool {
	for key, accepted := range s.StringEquals {
		if !overlap(accepted, facts[key]) {
			return false
		}
	}
	return true
}

func overlap(a, b []string) bool {
	return slices.ContainsFunc(a, func(one string) bool { return one != "" && slices.Contains(b, one) })
}
