// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"hash/fnv"
	"strconv"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/sts"
)

const (
	// Failures that may pass by themselves are retried after 1s, doubling to 1m; those that wait for an administrator
	// after 1m, doubling to 10m.
	transientMin, transientMax = time.Second, time.Minute
	refusedMin, refusedMax     = time.Minute, 10 * time.Minute
	// refusedRush is how soon a refusal is retried at most when little life is left.
	refusedRush = 10 * time.Second

	// Repairs of one Secret: the first at once, then at most one a minute, doubling to ten, until an hour has passed in
	// peace.
	repairMin, repairMax = time.Minute, 10 * time.Minute
	repairPeace          = time.Hour

	// A pass that sees an older view of its object than its own last write looks again after lagRetry, and goes on with
	// what there is when a watch seems to be broken.
	lagRetry = 100 * time.Millisecond
	lagMax   = 5 * time.Second
)

// memory is what this process remembers of each object to pace itself. No truth lives here: losing it, at a restart,
// costs one try too many at most.
type memory struct {
	mu    sync.Mutex
	memos map[types.NamespacedName]*memo
}

// memo is what is remembered of one object. One pass at a time uses it.
type memo struct {
	uid types.UID

	// The versions that were written last, to recognise a cache that lags behind.
	secretVersion, statusVersion string
	statusWritten                time.Time

	// The last failure of an attempt and when the next try is due.
	attempt   string
	failures  int
	last      *trouble
	notBefore time.Time

	// writeFailed: the last session could not be written.
	writeFailed bool

	// issued: there was a Secret before, so that a missing one is not the first. The last repair and how long the next must wait.
	issued        bool
	repairAttempt string
	repairedAt    time.Time
	repairPause   time.Duration
}

// of returns the memo of an object; a new one if the object is.
func (m *memory) of(c *v1alpha1.StsCredential) *memo {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.memos == nil {
		m.memos = map[types.NamespacedName]*memo{}
	}
	key := client.ObjectKeyFromObject(c)
	if m.memos[key] == nil || m.memos[key].uid != c.UID {
		m.memos[key] = &memo{uid: c.UID}
	}
	m.memos[key].issued = m.memos[key].issued || c.Status.AccessKeyID != ""
	return m.memos[key]
}

func (m *memory) forget(key types.NamespacedName) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.memos, key)
}

// statusLags reports whether the object is older than the status that was written last.
func (m *memo) statusLags(c *v1alpha1.StsCredential, now time.Time) bool {
	return older(c.ResourceVersion, m.statusVersion) && now.Sub(m.statusWritten) < lagMax
}

// secretLags reports whether the Secret is older than what was written last.
func (m *memo) secretLags(s *corev1.Secret) bool { return older(s.ResourceVersion, m.secretVersion) }

func older(seen, written string) bool {
	order, err := resourceversion.CompareResourceVersion(seen, written)
	return err == nil && order < 0
}

// lastFailure is the failure that holds back another try, with the time that is left; nil if there is none.
func (m *memo) lastFailure(attempt string, now time.Time) *trouble {
	if m.attempt != attempt {
		m.attempt, m.failures, m.last = attempt, 0, nil
	}
	switch {
	case m.last == nil:
		return nil
	case m.last.retry == 0:
		return m.last
	case now.Before(m.notBefore):
		return &trouble{reason: m.last.reason, message: m.last.message, retry: m.notBefore.Sub(now)}
	}
	return nil
}

// failed counts a failure and returns how long to wait for the next try; 0 means for another attempt. lifeLeft is how
// long the old credentials go on working: the less it is, the sooner the next try.
func (m *memo) failed(class sts.Class, lifeLeft time.Duration) time.Duration {
	first, last, rush := transientMin, transientMax, transientMin
	switch class {
	case sts.Invalid:
		return 0
	case sts.Refused, sts.StaleIdentity:
		first, last, rush = refusedMin, refusedMax, refusedRush
	case sts.Throttled, sts.Transient:
	}
	delay := last
	if doublings := min(m.failures, 16); first<<doublings < last {
		delay = first << doublings
	}
	m.failures++
	if lifeLeft > 0 {
		delay = min(delay, max(lifeLeft/4, rush))
	}
	return delay - spread(string(m.uid), m.failures, delay/5)
}

// remember keeps a failure for the passes that come before the next try.
func (m *memo) remember(t *trouble, now time.Time) {
	m.last, m.notBefore = t, now.Add(t.retry)
}

func (m *memo) succeeded() {
	m.failures, m.last, m.writeFailed, m.issued = 0, nil, false, true
}

// untilRepair is how long a repair must wait; 0 if it may be made.
func (m *memo) untilRepair(attempt string, now time.Time) time.Duration {
	if m.repairAttempt != attempt || now.Sub(m.repairedAt) >= repairPeace {
		return 0
	}
	return max(0, m.repairedAt.Add(m.repairPause).Sub(now))
}

// repaired counts a repair.
func (m *memo) repaired(attempt string, now time.Time) {
	if m.repairAttempt != attempt || now.Sub(m.repairedAt) >= repairPeace {
		m.repairPause = repairMin / 2
	}
	m.repairAttempt, m.repairedAt, m.repairPause = attempt, now, min(2*m.repairPause, repairMax)
}

// spreadSteps is how finely retries are spread.
const spreadSteps = 1 << 20

// spread is the same for the same key and try, and below limit: retries of many objects do not come in step.
func spread(key string, try int, limit time.Duration) time.Duration {
	if limit <= 0 {
		return 0
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte(key + "/" + strconv.Itoa(try)))
	return time.Duration(float64(limit) * float64(h.Sum64()%spreadSteps) / spreadSteps)
}
