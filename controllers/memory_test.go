// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/sts"
)

func TestRetryDelay(t *testing.T) {
	for _, tt := range []struct {
		name     string
		class    sts.Class
		failures int
		lifeLeft time.Duration
		want     time.Duration // the longest; up to a fifth less
	}{
		{"transient, first", sts.Transient, 0, 0, time.Second},
		{"transient, fourth", sts.Transient, 3, 0, 8 * time.Second},
		{"transient, last", sts.Transient, 100, 0, time.Minute},
		{"throttled", sts.Throttled, 1, 0, 2 * time.Second},
		{"transient, little life left", sts.Transient, 100, 20 * time.Second, 5 * time.Second},
		{"transient, hardly any life left", sts.Transient, 100, time.Millisecond, time.Second},
		{"refused, first", sts.Refused, 0, 0, time.Minute},
		{"refused, last", sts.Refused, 100, 0, 10 * time.Minute},
		{"stale identity", sts.StaleIdentity, 1, 0, 2 * time.Minute},
		{"refused, little life left", sts.Refused, 100, 2 * time.Minute, 30 * time.Second},
		{"refused, hardly any life left", sts.Refused, 0, time.Second, 10 * time.Second},
		{"invalid waits for another attempt", sts.Invalid, 0, time.Hour, 0},
	} {
		m := &memo{uid: "uid", failures: tt.failures}
		if got := m.failed(tt.class, tt.lifeLeft); got > tt.want || got < tt.want*4/5 {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
	a, b := &memo{uid: "a"}, &memo{uid: "b"}
	if a.failed(sts.Refused, 0) == b.failed(sts.Refused, 0) {
		t.Error("two objects retry in step")
	}
}

func TestMemoryIsOfOneObject(t *testing.T) {
	var m memory
	object := func(uid types.UID) *v1alpha1.StsCredential {
		return &v1alpha1.StsCredential{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "orders", UID: uid}}
	}
	m.of(object("a")).failures = 3
	if got := m.of(object("a")).failures; got != 3 {
		t.Errorf("failures = %d, want them remembered", got)
	}
	if got := m.of(object("b")).failures; got != 0 {
		t.Errorf("failures = %d, want none: it is another object of that name", got)
	}
	m.forget(types.NamespacedName{Namespace: "shop", Name: "orders"})
	if len(m.memos) != 0 {
		t.Error("a forgotten object is remembered")
	}
}

func TestLag(t *testing.T) {
	now := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	m := &memo{secretVersion: "100", statusVersion: "100", statusWritten: now}
	for version, want := range map[string]bool{"99": true, "100": false, "101": false, "1000": false, "not a number": false} {
		if got := m.secretLags(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{ResourceVersion: version}}); got != want {
			t.Errorf("Secret at %s lags: %v", version, got)
		}
	}
	c := &v1alpha1.StsCredential{ObjectMeta: metav1.ObjectMeta{ResourceVersion: "99"}}
	if !m.statusLags(c, now.Add(time.Second)) || m.statusLags(c, now.Add(5*time.Second)) {
		t.Error("an older object is waited for, but not for ever")
	}
}

func TestScrub(t *testing.T) {
	session := sts.Session{AccessKeySecret: "hush", SecurityToken: "hush-hush"}
	quoted := base64.StdEncoding.EncodeToString([]byte("hush-hush"))
	got := scrub(errors.New("denied: hush-hush, hush, "+quoted+strings.Repeat("é", 1000)), session)
	if strings.Contains(got, "hush") || strings.Contains(got, quoted) || len(got) > maxMessage+len("…") {
		t.Errorf("scrub = %q", got)
	}
	if got := scrub(errors.New("exceeded quota"), sts.Session{}); got != "exceeded quota" {
		t.Errorf("scrub = %q, want it as it was", got)
	}
}
