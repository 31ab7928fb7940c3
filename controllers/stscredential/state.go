// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stscredential

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/secret"
)

// If the cache returns an older version of the object than an earlier reconcile used, the reconcile is repeated after
// lagRetry. After lagMax it continues with the older version, because the watch may be broken.
const (
	lagRetry = 100 * time.Millisecond
	lagMax   = 5 * time.Second
)

// objectStates holds the state that this process keeps for each object, to control the pace of calls and writes. If it is
// lost, for example at a restart, some calls are repeated; credentials in Secrets stay valid. It is safe for concurrent use.
type objectStates struct {
	mu    sync.Mutex
	byKey map[types.NamespacedName]*objectState
}

// objectState is what is kept of one object: each part belongs to one step. One reconcile at a time uses it.
type objectState struct {
	uid types.UID
	// since is when this process reconciled the object for the first time, and generation that of the spec that it reconciled
	// last: what is wrong with the Secret since is another client's doing.
	since      time.Time
	generation int64
	// version is that of the object when it was read or written last, and versionAt when that was.
	version   string
	versionAt time.Time
	// secretVersion is that of the Secret when it was written last, to recognise a cache that lags behind and, while a reconcile
	// may be under way, the Secret that a watch brings back.
	secretVersion string // guarded by the lock of objectStates where other goroutines read it
	// secretExists: the create of a first issuance failed because of a Secret that is not in the cache. From then on, the
	// Secret is read uncached.
	secretExists bool

	renewal renewState
	sync    syncState
}

// of returns the state of an object. If there is none, or the object was created again, it returns a new one.
func (s *objectStates) of(c *v1alpha1.StsCredential, now time.Time) *objectState {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byKey == nil {
		s.byKey = map[types.NamespacedName]*objectState{}
	}
	key := client.ObjectKeyFromObject(c)
	if s.byKey[key] == nil || s.byKey[key].uid != c.UID {
		s.byKey[key] = &objectState{uid: c.UID, since: now, renewal: renewState{
			calls: newCallPace(string(c.UID)), drift: drift{accessKeyID: c.Status.AccessKeyID},
		}}
	}
	return s.byKey[key]
}

func (s *objectStates) forget(key types.NamespacedName) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.byKey, key)
}

// isOwnWrite reports whether a Secret is as this process wrote it last.
func (s *objectStates) isOwnWrite(o client.Object) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	of := s.byKey[types.NamespacedName{Namespace: o.GetNamespace(), Name: secret.CredentialName(o)}]
	return of != nil && of.secretVersion == o.GetResourceVersion()
}

// recordSecret records the version of a Secret, if it was written.
func (s *objectStates) recordSecret(of *objectState, e existing) {
	if e.written {
		s.mu.Lock()
		defer s.mu.Unlock()
		of.secretVersion = e.secret.ResourceVersion
	}
}

// recordVersion records the version of an object.
func (s *objectState) recordVersion(c *v1alpha1.StsCredential, now time.Time) {
	s.version, s.versionAt = c.ResourceVersion, now
}

// lags reports whether an object is older than its last known version.
func (s *objectState) lags(c *v1alpha1.StsCredential, now time.Time) bool {
	return older(c.ResourceVersion, s.version) && now.Sub(s.versionAt) < lagMax
}

// history returns the facts from earlier reconciles that a reconcile needs.
func (s *objectState) history(c *v1alpha1.StsCredential) history {
	ready := meta.FindStatusCondition(c.Status.Conditions, v1alpha1.ConditionReady)
	waiting := ready == nil || ready.Reason == v1alpha1.ReasonIssuing && c.Status.AccessKeyID == ""
	return history{
		specChanged:   s.generation != c.Generation,
		firstIssuance: waiting && !s.secretExists && s.secretVersion == "",
		secretVersion: s.secretVersion,
	}
}
