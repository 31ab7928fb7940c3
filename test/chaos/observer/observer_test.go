// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package observer_test

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stscredential/sts-credential-operator/test/chaos/observer"
)

const (
	role     = "acs:ram::1234567890123456:role/reader"
	another  = "acs:ram::1234567890123456:role/writer"
	calm     = 15 * time.Second
	recovery = 75 * time.Second
	lifetime = 90 * time.Second
)

var began = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// issue returns the n-th session of a name.
func issue(n, session, role string, at time.Time) observer.Issuance {
	return observer.Issuance{
		Credentials: observer.Credentials{ID: "STS.N" + n, Secret: "secret-of-the-issue-" + n, Token: "token-of-the-issue-" + n},
		Role:        role, Session: session, IssuedAt: at, ExpiresAt: at.Add(lifetime),
	}
}

// holding returns the Secret that the operator writes for a session, with changes.
func holding(i observer.Issuance, changes ...func(*corev1.Secret)) *corev1.Secret {
	s := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "orders", ResourceVersion: "1", Annotations: map[string]string{
			"sts.alibabacloud.com/access-key-id": i.ID, "sts.alibabacloud.com/expires-at": i.ExpiresAt.Format(time.RFC3339),
		}},
		Data: map[string][]byte{
			"ALIBABA_CLOUD_ACCESS_KEY_ID": []byte(i.ID), "ALIBABA_CLOUD_ACCESS_KEY_SECRET": []byte(i.Secret), "ALIBABA_CLOUD_SECURITY_TOKEN": []byte(i.Token),
			"external.json": []byte(`{"access_key_id":"` + i.ID + `","access_key_secret":"` + i.Secret + `","sts_token":"` + i.Token + `"}`),
		},
	}
	for _, change := range changes {
		change(s)
	}
	return s
}

func data(key, value string) func(*corev1.Secret) {
	return func(s *corev1.Secret) { s.Data[key] = []byte(value) }
}

func note(key, value string) func(*corev1.Secret) {
	return func(s *corev1.Secret) { s.Annotations["sts.alibabacloud.com/"+key] = value }
}

// newObserver returns an observer that knows three sessions of shop/orders, one of shop/prices, and an incomplete response.
func newObserver() (o *observer.Observer, first, second, third, foreign observer.Issuance) {
	o = observer.New(calm, recovery)
	first, second = issue("1", "shop.orders", role, began), issue("2", "shop.orders", role, began.Add(time.Minute))
	third, foreign = issue("3", "shop.orders", another, began), issue("4", "shop.prices", role, began)
	for _, i := range []observer.Issuance{first, second, third, foreign} {
		o.Issued(i)
	}
	o.Withheld("half-of-an-answer")
	o.Requests("shop/orders", role)
	o.SetKept(began, "shop/orders", true)
	return o, first, second, third, foreign
}

// wantOnly requires one violation with the text, or none if it is empty.
func wantOnly(t *testing.T, o *observer.Observer, want string) {
	t.Helper()
	got := o.Violations()
	switch {
	case want == "" && len(got) > 0:
		t.Errorf("got %v", got)
	case want != "" && (len(got) != 1 || !strings.Contains(got[0].What, want)):
		t.Errorf("got %v, want one with %q", got, want)
	}
	for _, v := range got {
		if strings.Contains(v.What, "secret-of") || strings.Contains(v.What, "token-of") {
			t.Errorf("a violation has a secret value: %s", v.What)
		}
	}
}

func TestSecretsAreJudged(t *testing.T) {
	_, first, second, third, foreign := newObserver()
	unknown := issue("5", "shop.orders", role, began)
	for _, tt := range []struct {
		name  string
		given []*corev1.Secret
		want  string
	}{
		{"what was issued", []*corev1.Secret{holding(first)}, ""},
		{"and then what was issued later", []*corev1.Secret{holding(first), holding(second)}, ""},
		{"older credentials again", []*corev1.Secret{holding(second), holding(first)}, "older credentials than before: session 1 after 2"},
		{"one value of another session", []*corev1.Secret{holding(first, data("ALIBABA_CLOUD_SECURITY_TOKEN", second.Token))}, "mixed credentials"},
		{"formats of two sessions", []*corev1.Secret{holding(first, data("external.json", `{"access_key_id":"STS.N2","access_key_secret":"secret-of-the-issue-2","sts_token":"token-of-the-issue-2"}`))}, "mixed credentials"},
		{"a value that is empty", []*corev1.Secret{holding(first, data("ALIBABA_CLOUD_ACCESS_KEY_SECRET", ""))}, "incomplete credentials"},
		{"a file that is cut", []*corev1.Secret{holding(first, data("external.json", `{"access_key_id":"STS.N1`))}, "incomplete credentials"},
		{"nothing", []*corev1.Secret{holding(first, func(s *corev1.Secret) { s.Data = nil })}, "no credentials"},
		{"a session that STS did not issue", []*corev1.Secret{holding(unknown)}, "did not issue"},
		{"another StsCredential's", []*corev1.Secret{holding(foreign)}, "credentials issued for shop.prices"},
		{"a role that was not requested", []*corev1.Secret{holding(third)}, "never requested: " + another},
		{"a record of another session", []*corev1.Secret{holding(first, note("access-key-id", second.ID))}, "other credentials than its record"},
		{"a record of another expiration", []*corev1.Secret{holding(first, note("expires-at", "2026-03-01T13:00:00Z"))}, "another expiration"},
		{"a value of another client", []*corev1.Secret{holding(first, data("ALIBABA_CLOUD_SECURITY_TOKEN", observer.Edited+"1"))}, ""},
		{"an expiration of another client", []*corev1.Secret{holding(first, note("expires-at", observer.Forever))}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o, _, _, _, _ := newObserver()
			for _, s := range tt.given {
				o.Record(began, s)
			}
			wantOnly(t, o, tt.want)
			if good, want := o.Good(began, "shop/orders", role), tt.want == "" && !strings.Contains(tt.name, "another client"); good != want && !strings.Contains(tt.want, "older") {
				t.Errorf("good: %v, want %v", good, want)
			}
		})
	}
}

func TestExpiryIsJudged(t *testing.T) {
	expiry := began.Add(lifetime)
	dark := func(from, until time.Duration) func(*observer.Observer) {
		return func(o *observer.Observer) {
			o.Outage(expiry.Add(from))
			o.Restored(expiry.Add(until))
		}
	}
	for _, tt := range []struct {
		name  string
		given []func(*observer.Observer)
		after time.Duration // since expiry
		want  string
	}{
		{"not yet", nil, -time.Second, ""},
		{"just now", nil, time.Second, ""},
		{"expired", nil, 3 * time.Second, "expired 3s ago, although renewal was possible for 30s in a row before"},
		{"an outage all the time", []func(*observer.Observer){dark(-time.Minute, time.Minute)}, 30 * time.Second, ""},
		{"an outage that lasts", []func(*observer.Observer){func(o *observer.Observer) { o.Outage(expiry.Add(-20 * time.Second)) }}, time.Hour, ""},
		{"too short a time in between", []func(*observer.Observer){dark(-40*time.Second, -10*time.Second), dark(4*time.Second, time.Minute)}, 30 * time.Second, ""},
		{"time enough before", []func(*observer.Observer){dark(-10*time.Second, time.Minute)}, 30 * time.Second, "for 20s in a row"},
		{"some time after", []func(*observer.Observer){dark(-40*time.Second, 2*time.Second)}, 70 * time.Second, ""},
		{"time enough after", []func(*observer.Observer){dark(-40*time.Second, 2*time.Second)}, 80 * time.Second, "0s in a row before, and 1m18s since"},
		{"time enough in between", []func(*observer.Observer){dark(-40*time.Second, -20*time.Second), dark(-4*time.Second, time.Minute)}, 30 * time.Second, "for 16s in a row"},
		{"an outage long ago", []func(*observer.Observer){dark(-80*time.Second, -50*time.Second)}, 5 * time.Second, "for 30s in a row"},
		{"suspended", []func(*observer.Observer){func(o *observer.Observer) { o.SetKept(began, "shop/orders", false) }}, time.Hour, ""},
		{"just resumed", []func(*observer.Observer){
			func(o *observer.Observer) { o.SetKept(began, "shop/orders", false) },
			func(o *observer.Observer) { o.SetKept(expiry.Add(time.Minute), "shop/orders", true) },
		}, 2 * time.Minute, ""},
		{"deleted", []func(*observer.Observer){func(o *observer.Observer) { o.SetKept(expiry, "shop/orders", false) }}, time.Hour, ""},
		{"the Secret is gone", []func(*observer.Observer){func(o *observer.Observer) { o.Deleted("shop", "orders") }}, time.Hour, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o, first, _, _, _ := newObserver()
			o.Record(began, holding(first))
			for _, given := range tt.given {
				given(o)
			}
			o.Check(expiry.Add(tt.after))
			o.Check(expiry.Add(tt.after)) // reported once
			wantOnly(t, o, tt.want)
		})
	}
}

func TestCallsAreAccountedFor(t *testing.T) {
	o := observer.New(calm, recovery)
	for i, at := range []time.Duration{0, 10 * time.Second, 70 * time.Second, 71 * time.Second} {
		o.Issued(issue(string(rune('a'+i)), "shop.orders", role, began.Add(at)))
	}
	o.Requested("shop/orders") // created
	if got, want := o.Calls(), (observer.Calls{Sessions: 4, Due: 1, Requested: 1, Unexplained: 2}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	for range 5 {
		o.Requested("shop/orders")
	}
	if got, want := o.Calls(), (observer.Calls{Sessions: 4, Due: 1, Requested: 3}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestLeaksAreFound(t *testing.T) {
	o, _, _, _, _ := newObserver()
	leaks := o.Leaks("the-operator's-own-key")
	for _, tt := range []struct {
		name, given string
		want        int
	}{
		{"nothing", `{"msg":"issued","accessKeyID":"STS.N1"}`, -1},
		{"a secret", "x secret-of-the-issue-3 y", 2},
		{"a token at the end", "token-of-the-issue-4", 0},
		{"the beginning of one", "a token-of-the", 2},
		{"in base64", "data: c2VjcmV0LW9mLXRoZS1pc3N1ZS0x", 6},
		{"a part of a response", "half-of-an-answer", 0},
		{"the operator's", "...the-operator's-own-key", 3},
	} {
		if got := leaks.In([]byte(tt.given)); got != tt.want {
			t.Errorf("%s: got %d, want %d", tt.name, got, tt.want)
		}
	}
}

func TestViolationsTellTheFault(t *testing.T) {
	o := observer.New(calm, recovery)
	o.Begins("STS is down")
	o.Violate(began, "not all is ready")
	o.Violate(began, "not all is ready")
	if got := o.Violations(); len(got) != 1 || got[0] != (observer.Violation{At: began, Fault: "STS is down", What: "not all is ready"}) {
		t.Errorf("got %v", got)
	}
}

// How soon Secrets get their first credentials, and how late the next ones, is measured from creation and from the last third.
func TestPunctuality(t *testing.T) {
	o, first, second, _, _ := newObserver()
	at := func(seconds int) time.Time { return began.Add(time.Duration(seconds) * time.Second) }
	if p := o.Punctuality("shop", at(9)); p.Kept != 1 || p.Issued != 0 || p.Slowest != 9*time.Second {
		t.Errorf("before the first: %+v", p)
	}
	o.Record(at(2), holding(first))
	o.Record(at(3), holding(first))
	if p := o.Punctuality("shop", at(50)); p.Issued != 1 || p.Slowest != 2*time.Second || p.Renewed != 0 || p.Latest != -10*time.Second {
		t.Errorf("with the first: %+v", p)
	}
	if p := o.Punctuality("shop", at(70)); p.Latest != 10*time.Second {
		t.Errorf("due and not renewed: %+v", p)
	}
	o.Record(at(64), holding(second))
	if p := o.Punctuality("shop", at(70)); p.Renewed != 1 || p.Latest != 4*time.Second || p.Slowest != 2*time.Second {
		t.Errorf("with the second: %+v", p)
	}
	if p := o.Punctuality("sho", at(70)); p.Kept != 0 {
		t.Errorf("another namespace: %+v", p)
	}
	o.SetKept(at(80), "shop/orders", false)
	if p := o.Punctuality("shop", at(500)); p.Kept != 0 {
		t.Errorf("deleted: %+v", p)
	}
}
