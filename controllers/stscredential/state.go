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
	// A reconcile that sees an older version of its object than its own last write is repeated after lagRetry, and goes on
	// with what there is when a watch seems to be broken.
	lagRetry = 100 * time.Millisecond
	lagMax   = 5 * time.Second
)

// objectStates is what this process keeps of each object to pace itself. No truth lives here: losing it, at a restart, costs
// some calls, and no credentials. It is safe for concurrent use.
type objectStates struct {
	mu    sync.Mutex
	byKey map[types.NamespacedName]*objectState
}

// objectState is what is kept of one object. One reconcile at a time uses it.
type objectState struct {
	uid types.UID
	// since is when this process reconciled the object for the first time.
	since time.Time
	// generation of the spec that was reconciled last: what is wrong with the Secret since is another client's doing.
	generation int64

	// The versions that were written last, to recognise a cache that lags behind and, while a reconcile may be under way, the
	// Secret that a watch brings back.
	secretVersion atomic.Pointer[string]
	statusVersion string
	statusWritten time.Time

	// The create of a first issuance has met a Secret that the cache does not show: it is read uncached from now on.
	secretInTheWay bool

	// The last failure of a try, and when the next one is due.
	failedKey string
	failures  int
	last      *reconcileError
	notBefore time.Time

	// Credentials that could not be written, and what they answer; and that the API server must take a dry run before STS is
	// called, or also before anything is written, since admission changed what was.
	unsaved              *unsaved
	unsavedFor           string
	writeFailed, altered bool

	// What was written last, and when it is due: another record, or none, is another client's doing.
	written    string
	writtenDue time.Time

	// How often STS may be called, whatever is requested and however the spec changes.
	tries *rate.Limiter

	// Corrections of the Secret by a call to STS, and of its metadata; why the last of the latter failed.
	driftPace, syncPace pace
	syncError           error
}

// unsaved is credentials that wait to be written. It hides what it holds from everything that prints.
type unsaved struct {
	session func() credentials.Credentials
}

// of returns the state of an object; a new one, from now on, if the object is.
func (s *objectStates) of(c *v1alpha1.StsCredential, now time.Time) *objectState {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byKey == nil {
		s.byKey = map[types.NamespacedName]*objectState{}
	}
	key := client.ObjectKeyFromObject(c)
	if s.byKey[key] == nil || s.byKey[key].uid != c.UID {
		s.byKey[key] = &objectState{uid: c.UID, since: now, tries: rate.NewLimiter(rate.Every(tryEvery), tryBurst)}
	}
	if s.byKey[key].written == "" {
		s.byKey[key].written = c.Status.AccessKeyID
	}
	return s.byKey[key]
}

func (s *objectStates) forget(key types.NamespacedName) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.byKey, key)
}

// wrote reports whether a Secret is as this process wrote it last.
func (s *objectStates) wrote(o client.Object) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	of := s.byKey[types.NamespacedName{Namespace: o.GetNamespace(), Name: secret.CredentialName(o)}]
	if of == nil {
		return false
	}
	written := of.secretVersion.Load()
	return written != nil && *written == o.GetResourceVersion()
}

// statusLags reports whether the object is older than the status that was written last.
func (s *objectState) statusLags(c *v1alpha1.StsCredential, now time.Time) bool {
	return older(c.ResourceVersion, s.statusVersion) && now.Sub(s.statusWritten) < lagMax
}

// secretLags reports whether the Secret is older than what was written last.
func (s *objectState) secretLags(o *corev1.Secret) bool {
	written := s.secretVersion.Load()
	return written != nil && older(o.ResourceVersion, *written)
}

func older(seen, written string) bool {
	order, err := resourceversion.CompareResourceVersion(seen, written)
	return err == nil && order < 0
}

// untilTry is how long the next call to STS must wait; 0 if it may be made. Making it counts with tried.
func (s *objectState) untilTry(now time.Time) time.Duration {
	return time.Duration(max(0, 1-s.tries.TokensAt(now)) * float64(tryEvery))
}

// tried counts a call.
func (s *objectState) tried(now time.Time) { s.tries.AllowN(now, 1) }

// lastFailure is the failure that holds back another try, with the time that is left; nil if there is none. A failure of
// another key ends.
func (s *objectState) lastFailure(key string, now time.Time) *reconcileError {
	if s.failedKey != key {
		s.failedKey, s.failures, s.last = key, 0, nil
	}
	if s.last == nil || !now.Before(s.notBefore) {
		return nil
	}
	waiting := *s.last
	return waiting.retry(s.notBefore.Sub(now))
}

// failed counts a failure and returns how long to wait for the next try, which is more than 0: STS can be wrong about what
// it calls invalid, so that no answer ends the retries. lifeLeft is how long the old credentials go on working: the less it
// is, the sooner the next try.
func (s *objectState) failed(class sts.Class, lifeLeft time.Duration) time.Duration {
	least, most, rush := transientMin, transientMax, transientMin
	switch class {
	case sts.Invalid, sts.Refused, sts.StaleIdentity:
		least, most, rush = refusedMin, refusedMax, refusedRush
	case sts.Throttled, sts.Transient:
	}
	delay := most
	if doublings := min(s.failures, 16); least<<doublings < most {
		delay = least << doublings
	}
	// A try that is made early does not count: once nothing works any more, the next is not put off by all of those before.
	if rushed := max(lifeLeft/4, rush); lifeLeft > 0 && rushed < delay {
		delay = rushed
	} else {
		s.failures++
	}
	return delay - renewal.Spread(fmt.Sprint(s.uid, "/", s.failures), delay/5)
}

// remember keeps a failure for the reconciles that come before the next try.
func (s *objectState) remember(err *reconcileError, now time.Time) {
	s.last, s.notBefore = err, now.Add(err.retryAfter)
}

// succeeded notes what was written and when it is due.
func (s *objectState) succeeded(accessKeyID string, due time.Time) {
	s.failures, s.last, s.writeFailed, s.altered, s.unsaved = 0, nil, false, false, nil
	s.written, s.writtenDue = accessKeyID, due
}

// observed notes what another process wrote, as long as this one wrote nothing. Nothing waits to be written any more, unless
// a Secret stands in the way: then what was issued waits until that is resolved.
func (s *objectState) observed(e existing, d renewal.Decision, blocked *reconcileError) {
	if blocked == nil || blocked.reason != v1alpha1.ReasonSecretConflict {
		s.unsaved = nil
	}
	if s.writtenDue.IsZero() && d.Usable {
		s.written, s.writtenDue = e.record.AccessKeyID, d.RenewAt
	}
}

// keep holds on to credentials that could not be written.
func (s *objectState) keep(requestKey string, issued credentials.Credentials) {
	s.unsaved, s.unsavedFor = &unsaved{func() credentials.Credentials { return issued }}, requestKey
}

// pending returns the credentials that wait to be written, if they are what is asked for and live on for half of their time.
// Otherwise they are dropped.
func (s *objectState) pending(requestKey string, now time.Time) (credentials.Credentials, bool) {
	if s.unsaved == nil {
		return credentials.Credentials{}, false
	}
	issued := s.unsaved.session()
	if s.unsavedFor == requestKey && issued.ExpiresAt.Sub(now) > issued.ExpiresAt.Sub(issued.IssuedAt)/2 {
		return issued, true
	}
	s.unsaved = nil
	return credentials.Credentials{}, false
}
