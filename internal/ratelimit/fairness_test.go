// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package ratelimit_test

import (
	"fmt"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/stscredential/sts-credential-operator/internal/ratelimit"
)

// contest is five noisy namespaces with 20 credentials each that always want a call, and one quiet namespace with a single
// one. Each repeats its claim after the wait, as a reconcile does.
type contest struct {
	*environment
	claims map[types.NamespacedName]ratelimit.Claim
	again  map[types.NamespacedName]time.Time
	served map[string]int // by namespace
	// account is what a claim is counted under.
	account func(namespace string) string
	// asks is called before each Acquire.
	asks func(claim *ratelimit.Claim)
	// rest is how long a credential stays away once it was served.
	rest func(namespace string) time.Duration
}

func newContest(t *testing.T, qps float64, account func(string) string, expiring bool) *contest {
	c := &contest{
		environment: newEnvironment(t, qps, 1), claims: map[types.NamespacedName]ratelimit.Claim{}, again: map[types.NamespacedName]time.Time{},
		served: map[string]int{}, account: account, asks: func(*ratelimit.Claim) {}, rest: func(string) time.Duration { return 0 },
	}
	add := func(namespace string, n int) {
		for i := range n {
			claim := ratelimit.Claim{NamespacedName: types.NamespacedName{Namespace: namespace, Name: fmt.Sprint(i)}, First: !expiring}
			if expiring {
				claim.Expires = c.clock.Now().Add(time.Hour)
			}
			c.claims[claim.NamespacedName], c.again[claim.NamespacedName] = claim, c.clock.Now()
		}
	}
	for i := range 5 {
		add(fmt.Sprint("noisy-", i), 20)
	}
	add("quiet", 1)
	return c
}

// run steps the clock for so long, a tenth of a second at a time.
func (c *contest) run(span time.Duration) {
	for end := c.clock.Now().Add(span); c.clock.Now().Before(end); c.step(100 * time.Millisecond) {
		names, _ := c.Admitted()
		for _, name := range names {
			c.ask(name)
		}
		for name, at := range c.again {
			if !c.clock.Now().Before(at) {
				c.ask(name)
			}
		}
	}
}

func (c *contest) ask(name types.NamespacedName) {
	claim := c.claims[name]
	c.asks(&claim)
	wait := c.Acquire(c.account(name.Namespace), claim)
	if wait == 0 {
		c.Release(c.account(name.Namespace))
		c.served[name.Namespace]++
		wait = c.rest(name.Namespace)
	}
	c.again[name] = c.clock.Now().Add(max(wait, 100*time.Millisecond))
}

func theAccount(string) string { return account }

// Each of six namespaces gets its share, also with a single credential, however often claims are repeated.
func TestRepeatedClaimsKeepThePositionOfTheirNamespace(t *testing.T) {
	for _, tt := range []struct {
		name     string
		expiring bool
		asks     func(c *contest, claim *ratelimit.Claim)
		rest     time.Duration // of the quiet one
		leaves   bool
		want     int // calls of the quiet one in 300 s at least, of 600
	}{
		{"a first issuance that is repeated often", false, func(*contest, *ratelimit.Claim) {}, 0, false, 80},
		{"a renewal, beside others that expire earlier", true, func(_ *contest, claim *ratelimit.Claim) {
			if claim.Namespace == "quiet" {
				claim.Expires = claim.Expires.Add(time.Hour)
			}
		}, 0, false, 40},
		{"a claim that is canceled and repeated", false, func(*contest, *ratelimit.Claim) {}, 0, true, 80},
		{"one whose claim changes each time", true, func(c *contest, claim *ratelimit.Claim) {
			if claim.Namespace == "quiet" {
				claim.First, claim.Expires = true, c.clock.Now().Add(2*time.Hour)
			}
		}, 0, false, 40},
		{"one that pauses for less than a round", false, func(*contest, *ratelimit.Claim) {}, time.Second, false, 60},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newContest(t, 2, theAccount, tt.expiring)
			c.asks = func(claim *ratelimit.Claim) { tt.asks(c, claim) }
			c.rest = func(namespace string) time.Duration {
				if namespace == "quiet" {
					return tt.rest
				}
				return 0
			}
			// A reconcile can run at any time: the quiet one repeats its claim each second.
			quiet := types.NamespacedName{Namespace: "quiet", Name: "0"}
			for range 300 {
				c.run(time.Second)
				if c.again[quiet].Sub(c.clock.Now()) > tt.rest {
					c.again[quiet] = c.clock.Now()
				}
				if tt.leaves {
					c.Cancel(quiet)
				}
			}
			if c.served["quiet"] < tt.want {
				t.Errorf("the quiet namespace was served %d times, want %d: %v", c.served["quiet"], tt.want, c.served)
			}
			for i := range 5 {
				if n := c.served[fmt.Sprint("noisy-", i)]; n < 80 {
					t.Errorf("noisy-%d was served %d times", i, n)
				}
			}
		})
	}
}

// A throttling response cancels reservations, and their namespaces keep their positions.
func TestThrottlingKeepsThePositionOfTheNamespace(t *testing.T) {
	e := newEnvironment(t, 1, 1)
	claim := func(namespace, name string) ratelimit.Claim {
		return ratelimit.Claim{NamespacedName: types.NamespacedName{Namespace: namespace, Name: name}, First: true}
	}
	e.Acquire(account, claim("a", "first"))
	for range 5 {
		e.Acquire(account, claim("quiet", "x"))
		for i := range 3 {
			e.Acquire(account, claim("b", fmt.Sprint("b", i)))
			e.Acquire(account, claim("c", fmt.Sprint("c", i)))
		}
		e.step(20 * time.Second)
		if names, _ := e.Admitted(); len(names) != 1 || names[0].Namespace != "quiet" {
			t.Errorf("%v is admitted, want quiet", names)
		}
		e.Throttled(account, 5*time.Second)
	}
}
