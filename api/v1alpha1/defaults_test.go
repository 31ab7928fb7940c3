// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1_test

import (
	"regexp"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
)

// stsSessionName is what AssumeRole accepts as RoleSessionName.
var stsSessionName = regexp.MustCompile(`^[A-Za-z0-9.@_-]{2,64}$`)

func TestDefaultSessionName(t *testing.T) {
	for _, test := range []struct{ name, cluster, namespace, object, want string }{
		{"namespace and name", "", "shop", "orders", "shop.orders"},
		{"the shortest", "", "a", "b", "a.b"},
		{"a cluster's name before it", "c1", "shop", "orders", "c1.shop.orders"},
		{"exactly 64", "", "shop", times(59, "o"), "shop." + times(59, "o")},
		{"exactly 64 with a cluster's name", "c1", "shop", times(56, "o"), "c1.shop." + times(56, "o")},
		{"65", "", "shop", times(60, "o"), "shop." + times(42, "o") + "-56dc03606f8c5fbb"},
		{"65 with a cluster's name", "c1", "shop", times(57, "o"), "c1.shop." + times(39, "o") + "-bf8e7246ae1304ef"},
		{"as long as names can be", "", times(63, "n"), times(253, "o"), times(47, "n") + "-af8e0cb6422e61ab"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := named(test.namespace, test.object)
			got := c.DefaultSessionName(test.cluster)
			if got != test.want || !stsSessionName.MatchString(got) {
				t.Errorf("got %s, want %s", got, test.want)
			}
			if got := c.SessionName(test.cluster); got != test.want {
				t.Errorf("in effect: got %s, want %s", got, test.want)
			}
		})
	}
}

// Two objects never share a session name, however long theirs are and wherever they differ.
func TestDefaultSessionNamesDiffer(t *testing.T) {
	seen := map[string]string{}
	for _, cluster := range []string{"", "c1", times(100, "c")} {
		for _, namespace := range []string{"a", "shop", times(62, "n"), times(63, "n")} {
			for length := 1; length <= 253; length++ {
				for _, end := range []string{"x", "y", "0"} {
					object := times(length-1, "o") + end
					got := named(namespace, object).DefaultSessionName(cluster)
					whole := strings.Join([]string{cluster, namespace, object}, " ")
					if other, ok := seen[got]; ok {
						t.Fatalf("%s is the name of %s and of %s", got, other, whole)
					}
					if seen[got] = whole; !stsSessionName.MatchString(got) {
						t.Fatalf("STS refuses %s", got)
					}
				}
			}
		}
	}
}

func TestSessionNameOfTheSpecWins(t *testing.T) {
	c := named("shop", times(253, "o"))
	c.Spec.SessionName = "shop.mine"
	if got := c.SessionName("c1"); got != "shop.mine" {
		t.Errorf("got %s, want shop.mine", got)
	}
}

func TestSessionPrefix(t *testing.T) {
	for _, test := range []struct{ name, cluster, want string }{
		{"no cluster's name", "", "shop."},
		{"a cluster's name", "c1", "c1.shop."},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := v1alpha1.SessionPrefix(test.cluster, "shop"); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

func TestDurations(t *testing.T) {
	for _, test := range []struct {
		name                       string
		duration, renewBefore      *metav1.Duration
		wantDuration, wantRenewing time.Duration
	}{
		{name: "left out", wantDuration: time.Hour},
		{name: "a duration", duration: lasting(15 * time.Minute), wantDuration: 15 * time.Minute},
		{name: "a time to renew", renewBefore: lasting(20 * time.Minute), wantDuration: time.Hour, wantRenewing: 20 * time.Minute},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := named("shop", "orders")
			c.Spec.Duration, c.Spec.RenewBefore = test.duration, test.renewBefore
			if got := c.Duration(); got != test.wantDuration {
				t.Errorf("duration: got %s, want %s", got, test.wantDuration)
			}
			if got := c.RenewBefore(); got != test.wantRenewing {
				t.Errorf("renewBefore: got %s, want %s", got, test.wantRenewing)
			}
		})
	}
}

func TestSecretName(t *testing.T) {
	for _, test := range []struct{ name, given, want string }{
		{"left out", "", "orders"},
		{"given", "orders-sts", "orders-sts"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := named("shop", "orders")
			c.Spec.Secret.Name = test.given
			if got := c.SecretName(); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

func TestRoleName(t *testing.T) {
	for _, test := range []struct{ name, given, want string }{
		{"a role", "acs:ram::1234567890123456:role/orders-reader", "orders-reader"},
		{"dots", "acs:ram::1:role/a.b_c", "a.b_c"},
		{"nothing, as before an object is read", "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := named("shop", "orders")
			c.Spec.RoleARN = test.given
			if got := c.RoleName(); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

func named(namespace, name string) *v1alpha1.StsCredential {
	return &v1alpha1.StsCredential{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
}

func lasting(d time.Duration) *metav1.Duration { return &metav1.Duration{Duration: d} }
