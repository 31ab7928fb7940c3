// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stscredential

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/credentials"
	"github.com/stscredential/sts-credential-operator/internal/renewal"
	"github.com/stscredential/sts-credential-operator/internal/secret"
	"github.com/stscredential/sts-credential-operator/internal/sts"
)

const (
	// Failures that may pass by themselves are retried after 1s, doubling to 1m; those that wait for an administrator
	// after 1m, doubling to 10m.
	transientMin, transientMax = time.Second, time.Minute
	refusedMin, refusedMax     = time.Minute, 10 * time.Minute
	// refusedRush is how soon a refusal is retried at most when little life is left.
	refusedRush = 10 * time.Second

	// Repairs of one Secret, and likewise adjustments: the first at once, then at most one a minute, doubling to ten, until
	// an hour has passed in peace.
	repairMin, repairMax = time.Minute, 10 * time.Minute
	repairPeace          = time.Hour

	// One object makes this many tries at once, and then one every tryEvery: a user's wishes and changes are followed at
	// once, a loop of them is not.
	tryBurst = 10
	tryEvery = 5 * time.Second

	// A pass that sees an older view of its object than its own last write looks again after lagRetry, and goes on with
	// what there is when a watch seems to be broken.
	lagRetry = 100 * time.Millisecond
	lagMax   = 5 * time.Second
)

// memory is what this process remembers of each object to pace itself. No truth lives here: losing it, at a restart,
// costs some calls, and no credential.
type memory struct {
	mu    sync.Mutex
	memos map[types.NamespacedName]*memo
}

// memo is what is remembered of one object. One pass at a time uses it.
type memo struct {
	uid types.UID
	// since is when this process looked at the object for the first time.
	since time.Time
	// generation of the spec that was looked at last: what is wrong with the Secret since is somebody else's doing.
	generation int64

	// The versions that were written last, to recognise a cache that lags behind and, while a pass may be under way, the
	// Secret that a watch brings back.
	secretVersion atomic.Pointer[string]
	statusVersion string
	statusWritten time.Time

	// The create of a first issuance has met a Secret that the cache does not show: it is read uncached from now on.
	secretInTheWay bool

	// The last failure of an attempt and when the next try is due.
	attempt   string
	failures  int
	last      *trouble
	notBefore time.Time

	// What could not be written, and what it answers; and that the API server must take a dry run before STS is asked, or
	// also before anything is written, since admission changed what was.
	unsaved              *unsaved
	unsavedFor           string
	writeFailed, altered bool

	// What was written last, and when it is due: another record, or none, is somebody else's doing.
	written    string
	writtenDue time.Time

	// How often STS may be asked, whatever is wished and however the spec changes.
	tries *rate.Limiter

	// Repairs of the Secret by a call to STS, and adjustments of its metadata; why the last of these failed.
	repairs, adjustments pace
	adjustTrouble        *trouble
}

// unsaved is a session that waits to be written. It hides what it holds from everything that prints.
type unsaved struct {
	session func() credentials.Credentials
}

// pace lets things happen at once the first time, and then ever less often until an hour has passed in peace.
type pace struct {
	attempt string
	at      time.Time
	pause   time.Duration
}

// until is how long the next must wait; 0 if it may happen now, as the first of another attempt always may.
func (p *pace) until(attempt string, now time.Time) time.Duration {
	if p.attempt != attempt || now.Sub(p.at) >= repairPeace {
		return 0
	}
	return max(0, p.at.Add(p.pause).Sub(now))
}

// done counts one.
func (p *pace) done(attempt string, now time.Time) {
	if p.attempt != attempt || now.Sub(p.at) >= repairPeace {
		p.pause = repairMin / 2
	}
	p.attempt, p.at, p.pause = attempt, now, min(2*p.pause, repairMax)
}

// of returns the memo of an object; a new one, from now on, if the object is.
func (m *memory) of(c *v1alpha1.StsCredential, now time.Time) *memo {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.memos == nil {
		m.memos = map[types.NamespacedName]*memo{}
	}
	key := client.ObjectKeyFromObject(c)
	if m.memos[key] == nil || m.memos[key].uid != c.UID {
		m.memos[key] = &memo{uid: c.UID, since: now, tries: rate.NewLimiter(rate.Every(tryEvery), tryBurst)}
	}
	if m.memos[key].written == "" {
		m.memos[key].written = c.Status.AccessKeyID
	}
	return m.memos[key]
}

func (m *memory) forget(key types.NamespacedName) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.memos, key)
}

// wrote reports whether a Secret is as this process wrote it last.
func (m *memory) wrote(s client.Object) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	of := m.memos[types.NamespacedName{Namespace: s.GetNamespace(), Name: secret.CredentialName(s)}]
	if of == nil {
		return false
	}
	written := of.secretVersion.Load()
	return written != nil && *written == s.GetResourceVersion()
}

// statusLags reports whether the object is older than the status that was written last.
func (m *memo) statusLags(c *v1alpha1.StsCredential, now time.Time) bool {
	return older(c.ResourceVersion, m.statusVersion) && now.Sub(m.statusWritten) < lagMax
}

// secretLags reports whether the Secret is older than what was written last.
func (m *memo) secretLags(s *corev1.Secret) bool {
	written := m.secretVersion.Load()
	return written != nil && older(s.ResourceVersion, *written)
}

func older(seen, written string) bool {
	order, err := resourceversion.CompareResourceVersion(seen, written)
	return err == nil && order < 0
}

// untilTry is how long the next call to STS must wait; 0 if it may be made. Making it counts with tried.
func (m *memo) untilTry(now time.Time) time.Duration {
	return time.Duration(max(0, 1-m.tries.TokensAt(now)) * float64(tryEvery))
}

// tried counts a call.
func (m *memo) tried(now time.Time) { m.tries.AllowN(now, 1) }

// lastFailure is the failure that holds back another try, with the time that is left; nil if there is none.
func (m *memo) lastFailure(attempt string, now time.Time) *trouble {
	if m.attempt != attempt {
		m.attempt, m.failures, m.last = attempt, 0, nil
	}
	switch {
	case m.last == nil:
		return nil
	case now.Before(m.notBefore):
		waiting := *m.last
		waiting.retry = m.notBefore.Sub(now)
		return &waiting
	}
	return nil
}

// failed counts a failure and returns how long to wait for the next try, which is more than 0: STS can be wrong about what
// it calls invalid, so that no answer ends the retries. lifeLeft is how long the old credentials go on working: the less it
// is, the sooner the next try.
func (m *memo) failed(class sts.Class, lifeLeft time.Duration) time.Duration {
	first, last, rush := transientMin, transientMax, transientMin
	switch class {
	case sts.Invalid, sts.Refused, sts.StaleIdentity:
		first, last, rush = refusedMin, refusedMax, refusedRush
	case sts.Throttled, sts.Transient:
	}
	delay := last
	if doublings := min(m.failures, 16); first<<doublings < last {
		delay = first << doublings
	}
	// A try that is hastened does not count: once nothing works any more, the next is not put off by all of those before.
	if rushed := max(lifeLeft/4, rush); lifeLeft > 0 && rushed < delay {
		delay = rushed
	} else {
		m.failures++
	}
	return delay - renewal.Spread(fmt.Sprint(m.uid, "/", m.failures), delay/5)
}

// remember keeps a failure for the passes that come before the next try.
func (m *memo) remember(t *trouble, now time.Time) {
	m.last, m.notBefore = t, now.Add(t.retry)
}

// succeeded notes what was written and when it is due.
func (m *memo) succeeded(accessKeyID string, due time.Time) {
	m.failures, m.last, m.writeFailed, m.altered, m.unsaved = 0, nil, false, false, nil
	m.written, m.writtenDue = accessKeyID, due
}

// found notes what another process wrote, as long as this one wrote nothing. Nothing waits to be written any more, unless a
// Secret stands in the way: then what was issued waits until that is resolved.
func (m *memo) found(p *pass) {
	if p.trouble == nil || p.trouble.reason != v1alpha1.ReasonSecretConflict {
		m.unsaved = nil
	}
	if m.writtenDue.IsZero() && p.decision.Usable {
		m.written, m.writtenDue = p.record.AccessKeyID, p.decision.RenewAt
	}
}

// keep holds on to a session that could not be written.
func (m *memo) keep(sought string, session credentials.Credentials) {
	m.unsaved, m.unsavedFor = &unsaved{func() credentials.Credentials { return session }}, sought
}

// kept is the session that waits to be written, if it is what is sought and lives on for half of its time. Otherwise it
// is forgotten.
func (m *memo) kept(sought string, now time.Time) (credentials.Credentials, bool) {
	if m.unsaved == nil {
		return credentials.Credentials{}, false
	}
	session := m.unsaved.session()
	if m.unsavedFor == sought && session.ExpiresAt.Sub(now) > session.ExpiresAt.Sub(session.IssuedAt)/2 {
		return session, true
	}
	m.unsaved = nil
	return credentials.Credentials{}, false
}
