// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package ratelimit

import (
	"math"
	"strings"
	"time"

	"golang.org/x/time/rate"
)

// unacceptedPrefix is the prefix of the keys for calls that no account has accepted yet.
const unacceptedPrefix = "unaccepted/"

const (
	// A namespace has at most a tenth of the rate and a quarter of the burst of all calls that no account has accepted.
	unacceptedRateShare  = 10
	unacceptedBurstShare = 4
)

// Unaccepted returns the key for the calls of a namespace's identities that no account has accepted yet: AccessKeys whose
// account is unknown, and ServiceAccounts before their first credentials. A namespace can invent any number of them. Such calls
// of all namespaces together have the limits of one account, and are admitted round robin. A throttling response pauses only
// the calls of its namespace.
func Unaccepted(namespace string) string { return unacceptedPrefix + namespace }

// group is a group of accounts that share one limit, round robin: one member per namespace.
type group struct {
	limiter  *rate.Limiter
	qps      rate.Limit // of a member
	burst    int        // of a member
	members  map[*account]struct{}
	reserved int    // tokens of admitted claims
	occupied int    // seats
	served   uint64 // number of claims that were admitted, and of members that joined
}

func newGroup(qps rate.Limit, burst int) *group {
	return &group{
		limiter: rate.NewLimiter(qps, burst), qps: qps / unacceptedRateShare, burst: max(1, burst/unacceptedBurstShare),
		members: map[*account]struct{}{},
	}
}

// serve puts a at the end of the round.
func (g *group) serve(a *account) {
	g.served++
	a.served = g.served
}

// admit admits claims; the next is of the namespace that was served longest ago.
func (g *group) admit(now time.Time) (admitted []*waiter) {
	for a := range g.members {
		a.expire(now)
	}
	for g.free(now) >= enough {
		var first *account
		for a := range g.members {
			if (first == nil || a.served < first.served) && a.ready(now) {
				first = a
			}
		}
		if first == nil {
			return admitted
		}
		g.serve(first)
		admitted = append(admitted, first.admitNext(now))
	}
	return admitted
}

// free returns the number of tokens that are not reserved.
func (g *group) free(now time.Time) float64 {
	return g.limiter.TokensAt(now) - float64(g.reserved)
}

// until returns how long it takes until there are n free tokens of the group.
func (g *group) until(n int, now time.Time) time.Duration {
	missing := max(0, float64(n)-g.free(now))
	return time.Duration(math.Ceil(missing / float64(g.limiter.Limit()) * float64(time.Second)))
}

// ahead returns the number of calls until a namespace has had n of them.
func (g *group) ahead(n int) (calls int) {
	for a := range g.members {
		calls += min(n, a.waiting.waiting)
	}
	return calls
}

// left returns the number of seats for a member, if free seats are left for all accounts. All members together occupy at most
// half of the seats, and each no more than it leaves for the others.
func (g *group) left(free int) int { return (free - g.occupied + 1) / 2 }

// newAccount returns the account for a key.
func (b *Budget) newAccount(key string) *account {
	a := newAccount(b, b.qps, b.burst)
	if strings.HasPrefix(key, unacceptedPrefix) {
		g := b.unaccepted
		a = newAccount(b, g.qps, g.burst)
		a.group = g
		g.members[a] = struct{}{}
		g.serve(a)
	}
	return a
}

// forget removes an account.
func (b *Budget) forget(key string, a *account) {
	delete(b.accounts, key)
	if a.group != nil {
		delete(a.group.members, a)
	}
}
