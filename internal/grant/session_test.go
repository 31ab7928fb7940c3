// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package grant_test

import (
	"regexp"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
)

// What STS takes as a session's name, and the operator as a cluster's.
var (
	sessionName = regexp.MustCompile(`^[A-Za-z0-9.@_-]{2,64}$`)
	clusterName = regexp.MustCompile(`^[A-Za-z0-9@_-]{0,20}$`)
)

// FuzzSessionName: STS accepts the session names of any two objects, which show the namespace that
// grants hold them to, and differ as the objects do.
func FuzzSessionName(f *testing.F) {
	long := strings.Repeat
	f.Add("", "shop", "orders", "orders2")
	f.Add("c1", "a", "b", "b.c")
	f.Add("", long("n", 63), long("o", 253), long("o", 252)+"x")
	f.Add(long("c", 20), long("n", 30), long("o", 11), long("o", 12))
	f.Fuzz(func(t *testing.T, cluster, namespace, one, other string) {
		if len(validation.IsDNS1123Label(namespace)) > 0 || len(validation.IsDNS1123Subdomain(one)) > 0 ||
			len(validation.IsDNS1123Subdomain(other)) > 0 || !clusterName.MatchString(cluster) {
			return // there is no such object, or no such cluster
		}
		called := func(name string) string {
			c := &v1alpha1.StsCredential{}
			c.Namespace, c.Name = namespace, name
			return c.SessionName(cluster)
		}
		got := called(one)
		if !sessionName.MatchString(got) {
			t.Errorf("STS refuses %q", got)
		}
		if prefix := v1alpha1.SessionPrefix(cluster, namespace); len(prefix) <= 47 && !strings.HasPrefix(got, prefix) {
			t.Errorf("%q does not start with %q", got, prefix)
		}
		if same := got == called(other); same != (one == other) {
			t.Errorf("%q for %q, and the same for %q: %v", got, one, other, same)
		}
	})
}
