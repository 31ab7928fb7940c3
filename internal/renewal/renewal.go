// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package renewal decides when a credential is renewed. A decision takes facts and a time, and touches nothing.
package renewal

import (
	"hash/fnv"
	"time"

	"github.com/stscredential/sts-credential-operator/internal/credentials"
)

const (
	// minWait is the minimum time between an issuance and its planned renewal. If a quarter of the lifetime is shorter, that is
	// the minimum. It is also the minimum difference between spec.duration and spec.renewBefore.
	minWait = 5 * time.Minute
	// minMargin is the least time between a planned renewal and expiry, for lifetimes of which it is less than a tenth.
	minMargin = 30 * time.Second
	// servedLife is the least life that is left at a planned renewal where the agent serves the credentials, for lifetimes of
	// which at least minWait is left then. Some SDKs refresh up to 15 minutes before expiry and fail where nothing answers, and
	// the kubelet takes up to 2½ minutes to update a volume.
	servedLife = 20 * time.Minute
	// clockTolerance is how far in the future the issue time of a record may be before the local clock counts as behind.
	clockTolerance = 10 * time.Second
)

// Facts are the input of a decision.
type Facts struct {
	// Suspended is spec.suspend.
	Suspended bool
	// Duration is the requested lifetime; more than 0.
	Duration time.Duration
	// RenewBefore is how long before expiry to renew, at least 5 minutes less than Duration; 0 means a third of the
	// lifetime, or half of it if Restarts is set, and at least 20 minutes if Served is set.
	RenewBefore time.Duration
	// Served: the agent serves the credentials, to SDKs that refresh up to 15 minutes before expiry.
	Served bool
	// Restarts: workloads are restarted after each renewal, which takes time.
	Restarts bool
	// RenewRequest is the value of a user's renew request; empty if there is none.
	RenewRequest string
	// RenewEarly: a workload that reads these credentials is about to be restarted for other ones. They are renewed early, so
	// that they do not cause another restart. See Early.
	RenewEarly bool
	// Seed is the UID of the StsCredential. It spreads renewals, so that StsCredentials do not renew at the same time.
	Seed string
	// Record is the record on the Secret; nil if there is no Secret, or if its record is incomplete.
	Record *credentials.Record
	// Foreign: the record is that of another StsCredential.
	Foreign bool
	// Edited: the data or the record is not what was written.
	Edited bool
	// RequestChanged: the spec requests other credentials than the record describes.
	RequestChanged bool
	// PolicyChanged: a grant imposes another policy now.
	PolicyChanged bool
	// LayoutChanged: the spec has other keys now.
	LayoutChanged bool
}

// Cause is why to renew.
type Cause string

// The causes, in the order in which they are checked.
const (
	CauseNoRecord       Cause = "NoRecord"
	CauseForeignRecord  Cause = "ForeignRecord"
	CauseRequestChanged Cause = "RequestChanged"
	CausePolicyChanged  Cause = "PolicyChanged"
	CauseLayoutChanged  Cause = "LayoutChanged"
	CauseRequested      Cause = "Requested"
	CauseDue            Cause = "Due"
	CauseEarly          Cause = "RenewEarly"
	CauseClockBehind    Cause = "ClockBehind"
	CauseEdited         Cause = "Edited"
)

// Drift reports whether the cause is drift: another client deleted or edited the Secret.
func (c Cause) Drift() bool {
	return c == CauseNoRecord || c == CauseForeignRecord || c == CauseEdited
}

// Decision is whether to renew credentials, and when.
type Decision struct {
	// Cause is why to renew now; empty means keep.
	Cause Cause
	// RenewAt is when the credentials in the Secret are due, by STS's clock; zero without a record of this credential.
	RenewAt time.Time
	// Usable: the Secret holds credentials for the current spec that work now.
	Usable bool
}

// Renew reports whether to renew now.
func (d Decision) Renew() bool { return d.Cause != "" }

// Decide returns whether to renew now, and the renewal time. now is the time by STS's clock.
func Decide(now time.Time, f Facts) Decision {
	var decision Decision
	if f.Record != nil && !f.Foreign {
		decision.RenewAt = f.renewAt()
		decision.Usable = f.usable(now)
	}
	if !f.Suspended {
		decision.Cause = f.cause(now, decision.RenewAt)
	}
	return decision
}

func (f Facts) usable(now time.Time) bool {
	return !f.Edited && !f.RequestChanged && !f.LayoutChanged && now.Before(f.Record.ExpiresAt)
}

func (f Facts) cause(now, renewAt time.Time) Cause {
	r := f.Record
	if r == nil {
		return CauseNoRecord
	}
	for _, candidate := range []struct {
		cause Cause
		holds bool
	}{
		{CauseForeignRecord, f.Foreign},
		{CauseRequestChanged, f.RequestChanged},
		{CausePolicyChanged, f.PolicyChanged},
		{CauseLayoutChanged, f.LayoutChanged},
		{CauseRequested, f.RenewRequest != "" && f.RenewRequest != r.HandledRenewRequest},
		{CauseDue, !now.Before(renewAt)},
		{CauseEarly, f.RenewEarly},
		// If the clock is behind the issuance, an expiration could be missed. The response of STS corrects the clock.
		{CauseClockBehind, now.Before(r.IssuedAt.Add(-clockTolerance))},
		{CauseEdited, f.Edited},
	} {
		if candidate.holds {
			return candidate.cause
		}
	}
	return ""
}

// renewAt returns the renewal time: renewBefore and a jitter before the expiration that STS returned. If STS returned a
// shorter lifetime than requested, renewBefore is reduced in proportion. The jitter is at most a tenth of the lifetime.
func (f Facts) renewAt() time.Time {
	lifetime := f.Record.ExpiresAt.Sub(f.Record.IssuedAt)
	before := lifetime / 3
	if f.Restarts {
		before = lifetime / 2
	}
	if f.Served && lifetime >= servedLife+minWait {
		before = max(before, servedLife)
	}
	if f.RenewBefore > 0 {
		before = time.Duration(float64(f.RenewBefore) * min(1, float64(lifetime)/float64(f.Duration)))
	}
	before = max(before, min(minMargin, lifetime/10))
	wait := lifetime - before - Spread(f.Seed+"/"+f.Record.RequestID, lifetime/10)
	return f.Record.IssuedAt.Add(max(wait, min(minWait, lifetime/4)))
}

// Spread is a duration below limit: the same for the same key, and evenly spread over keys.
func Spread(key string, limit time.Duration) time.Duration {
	if limit <= 0 {
		return 0
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte(key))
	const steps = 1 << 20
	// FNV's low bits are its best mixed ones.
	return time.Duration(float64(limit) * float64(h.Sum64()%steps) / steps)
}
