// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package ratelimit

import (
	"math"
	"strings"
	"time"

	"golang.org/x/time/rate"
)

// unacceptedPrefix starts the budget's keys for calls that no account has accepted yet.
const unacceptedPrefix = "unaccepted/"

const (
	// A namespace has at most a tenth of the rate and a quarter of the burst of all calls that no account has accepted.
	unacceptedRateShare  = 10
	unacceptedBurstShare = 4
)

// Unaccepted returns the budget's key for the calls of a namespace's identities that no account has accepted yet:
// unknown AccessKeys, and ServiceAccounts that STS has given no session. A namespace can make up any number of them. Such
// calls of all namespaces together have the limits of one account, and the namespaces take turns. A throttling answer
// pauses the calls of its namespace alone.
func Unaccepted(namespace string) string { return unacceptedPrefix + namespace }

// group is the accounts that share one limit and take turns: a member for each namespace.
type group struct {
	limiter  *rate.Limiter
	qps      rate.Limit // of a member
	burst    int        // of a member
	members  map[*account]struct{}
	reserved int    // tokens of those whose turn has come
	busy     int    // calls under way or about to be
	turns    uint64 // that were given, and members that joined
}

func newGroup(qps rate.Limit, burst int) *group {
	return &group{
		limiter: rate.NewLimiter(qps, burst), qps: qps / unacceptedRateShare, burst: max(1, burst/unacceptedBurstShare),
		members: map[*account]struct{}{},
	}
}

// nextTurn returns a number that is greater than those of all turns so far.
func (g *group) nextTurn() uint64 {
	g.turns++
	return g.turns
}

// call calls those whose turn has come, of the namespace whose last turn is longest ago first.
func (g *group) call(now time.Time, full func(*account) bool) (called []*waiter) {
	for a := range g.members {
		a.expire(now)
	}
	for g.free(now) >= enough {
		var first *account
		for a := range g.members {
			if (first == nil || a.turn < first.turn) && a.ready(now, full) {
				first = a
			}
		}
		if first == nil {
			return called
		}
		first.turn = g.nextTurn()
		called = append(called, first.callNext(now))
	}
	return called
}

// free is how many tokens there are that are nobody's.
func (g *group) free(now time.Time) float64 {
	return g.limiter.TokensAt(now) - float64(g.reserved)
}

// until is how long it takes until n more calls can be made, as far as the common tokens go.
func (g *group) until(n int, now time.Time) time.Duration {
	missing := max(0, float64(n)-g.free(now))
	return time.Duration(math.Ceil(missing / float64(g.limiter.Limit()) * float64(time.Second)))
}

// ahead is how many calls are made until a namespace has had n turns, or fewer where others wait for fewer.
func (g *group) ahead(n int) (calls int) {
	for a := range g.members {
		calls += min(n, a.waiting.waiting)
	}
	return calls
}

// left is how many calls at a time the group leaves to its members, if free places are left for all accounts. Together
// they take half of the places, and each no more than it leaves for the others.
func (g *group) left(free int) int { return (free - g.busy + 1) / 2 }

// newAccount returns the bucket for a key.
func (b *Budget) newAccount(key string) *account {
	a := newAccount(b.qps, b.burst)
	if strings.HasPrefix(key, unacceptedPrefix) {
		g := b.unaccepted
		a = newAccount(g.qps, g.burst)
		a.group, a.turn = g, g.nextTurn()
		g.members[a] = struct{}{}
	}
	a.flying = &b.flying
	return a
}

// forget removes an account that is as good as new.
func (b *Budget) forget(key string, a *account) {
	delete(b.accounts, key)
	if a.group != nil {
		delete(a.group.members, a)
	}
}
