// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package kubectl

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
)

// refused makes an StsCredential ask for a role that no grant allows.
func refused(c *v1alpha1.StsCredential) { c.Spec.RoleARN = "acs:ram::" + account + ":role/admin" }

// expiresLater makes credentials live for two hours.
func expiresLater(c *v1alpha1.StsCredential) {
	c.Spec.Duration = duration("2h")
	c.Labels = map[string]string{"team": "shop"}
}

func TestList(t *testing.T) {
	e := newEnvironment(t)
	e.credential("later", expiresLater)
	e.credential("soon")
	e.credential("never", refused)
	for name, test := range map[string]struct {
		arguments []string
		want      []string // names, in order
	}{
		"by expiry":         {nil, []string{"never", "soon", "later"}},
		"by label":          {[]string{"-l", "team=shop"}, []string{"later"}},
		"expiring soon":     {[]string{"--expiring-within", "90m"}, []string{"never", "soon"}},
		"in all namespaces": {[]string{"-A", "--expiring-within", "90m"}, []string{"never", "soon"}},
	} {
		t.Run(name, func(t *testing.T) {
			got := e.admin(append([]string{"list"}, test.arguments...)...)
			names := regexp.MustCompile(`(?m)^(?:\S+ +)?(never|soon|later) `).FindAllStringSubmatch(got.out, -1)
			if got.status != 0 || len(names) != len(test.want) {
				t.Fatalf("want %v:\n%s", test.want, got)
			}
			for i, want := range test.want {
				if names[i][1] != want {
					t.Errorf("want %v:\n%s", test.want, got)
				}
			}
		})
	}
	e.wantAll(e.admin("list").out, "NAME", "EXPIRES", "(in 59m)", "RoleNotGranted")
	e.wantAll(e.admin("list", "-o", "wide").out, "NEXT RENEWAL", "STS.")
	e.wantAll(e.admin("list", "-o", "yaml").out, "kind: List", "kind: StsCredential", "name: later")
	var list struct{ Items []v1alpha1.StsCredential }
	e.must(json.Unmarshal([]byte(e.admin("list", "-o", "json").out), &list))
	if len(list.Items) != 3 || list.Items[0].Name != "never" || list.Items[0].ManagedFields != nil {
		t.Errorf("list -o json: %+v", list)
	}
	e.wantAll(e.admin("list", "-l", "team=none").err, `No StsCredential with labels team=none in namespace "`+e.namespace)
}

func TestStatus(t *testing.T) {
	e := newEnvironment(t)
	e.credential("works")
	e.credential("refused", refused)
	works := e.admin("status", "works")
	if works.status != 0 || strings.ContainsAny(works.out, "✗\x1b") {
		t.Errorf("status of an StsCredential that works: %s", works)
	}
	e.wantAll(works.out, "✓ grant", "✓ identity", "✓ sts", "✓ secret", "✓ pods")
	broken := e.admin("status", "refused")
	if broken.status != 1 {
		t.Errorf("status of an StsCredential that does not work: %s", broken)
	}
	e.wantAll(broken.out, "✗ grant", "? sts")
	var chain struct {
		Kind  string
		Good  bool
		Links []struct{ Stage, State string }
	}
	e.must(json.Unmarshal([]byte(e.admin("status", "refused", "-o", "json").out), &chain))
	if chain.Kind != "StatusReport" || chain.Good || chain.Links[0].State != "Bad" {
		t.Errorf("status -o json: %+v", chain)
	}
	e.wantAll(e.admin("status", "missing").err, `error: there is no StsCredential "missing"`)
}

func TestRenew(t *testing.T) {
	e := newEnvironment(t)
	one, other := e.credential("one"), e.credential("other", expiresLater)
	for _, test := range []struct {
		name      string
		arguments []string
		renews    []*v1alpha1.StsCredential
	}{
		{"a name", []string{"one"}, []*v1alpha1.StsCredential{one}},
		{"a label", []string{"-l", "team=shop"}, []*v1alpha1.StsCredential{other}},
		{"all", []string{"--all"}, []*v1alpha1.StsCredential{one, other}},
	} {
		t.Run(test.name, func(t *testing.T) {
			before := map[string]string{}
			for _, c := range []*v1alpha1.StsCredential{one, other} {
				e.must(e.api.Get(t.Context(), client.ObjectKeyFromObject(c), c))
				before[c.Name] = c.Status.RequestID
			}
			got := e.admin(append([]string{"renew", "--wait"}, test.arguments...)...)
			if got.status != 0 || strings.Count(got.out, "renewed, expires") != len(test.renews) {
				t.Errorf("%v: %s", test.arguments, got)
			}
			for _, c := range test.renews {
				e.must(e.api.Get(t.Context(), client.ObjectKeyFromObject(c), c))
				if c.Status.RequestID == before[c.Name] {
					t.Errorf("%s was not renewed", c.Name)
				}
			}
		})
	}
}

func TestRenewFailures(t *testing.T) {
	e := newEnvironment(t)
	e.credential("one")
	e.credential("suspended", func(c *v1alpha1.StsCredential) { refused(c); c.Spec.Suspend = true })
	e.credential("refused", refused)
	got := e.admin("renew", "one", "missing", "suspended", "refused", "--wait", "--timeout", "3s")
	if got.status != 1 || !strings.Contains(got.out, "one: renewed") {
		t.Errorf("one works, the others do not: %s", got)
	}
	e.wantAll(got.err, "error: missing: there is no StsCredential", "error: suspended: the StsCredential is suspended", "error: refused: no new credentials yet. RoleNotGranted")
	for _, arguments := range [][]string{{"renew"}, {"renew", "one", "--all"}, {"renew", "--all", "-A"}, {"renew", "one", "--timeout", "0s"}} {
		if got := e.admin(arguments...); got.status != 1 || !strings.Contains(got.err, "Write") {
			t.Errorf("%v: %s", arguments, got)
		}
	}
}

// What is wrong with the cluster or the arguments is said in one line, with the next step.
func TestPlainErrors(t *testing.T) {
	e := newEnvironment(t)
	empty := filepath.Join(t.TempDir(), "empty")
	e.must(os.WriteFile(empty, nil, 0o600))
	admin := e.plane.Kubeconfig()
	for name, test := range map[string]struct {
		kubeconfig string
		arguments  []string
		want       string
	}{
		"no cluster":         {empty, []string{"list"}, "no cluster is configured. Set KUBECONFIG"},
		"unreachable":        {empty, []string{"list", "-s", "https://127.0.0.1:1"}, "cannot reach the API server: 127.0.0.1:1"},
		"no rights":          {e.user("none"), []string{"list", "-n", e.namespace}, "may not list stscredentials.sts.alibabacloud.com in namespace \"" + e.namespace},
		"everywhere":         {e.user("one"), []string{"list", "-A"}, "may not list stscredentials.sts.alibabacloud.com in the whole cluster"},
		"unknown command":    {admin, []string{"lst"}, `unknown command "lst" for "kubectl stscred", which may mean list`},
		"unknown argument":   {admin, []string{"list", "x"}, "list takes no arguments"},
		"unknown flag":       {admin, []string{"list", "--x"}, "See: kubectl stscred list --help"},
		"unknown format":     {admin, []string{"list", "-o", "xml"}, "write table, wide, json or yaml"},
		"no name":            {admin, []string{"status"}, "needs the name of an StsCredential"},
		"two names":          {admin, []string{"status", "a", "b"}, `not also "b"`},
		"not a selector":     {admin, []string{"list", "-l", "a=b=c"}, "Write -l name=value"},
		"a time in the past": {admin, []string{"list", "--expiring-within=-2h"}, "Write a positive duration"},
	} {
		t.Run(name, func(t *testing.T) {
			got := e.run(test.kubeconfig, test.arguments...)
			if got.status != 1 || !strings.Contains(got.err, test.want) || strings.Count(got.err, "\n") != 1 {
				t.Errorf("want one line with %q: %s", test.want, got)
			}
		})
	}
}

func TestCompletion(t *testing.T) {
	e := newEnvironment(t)
	e.credential("orders")
	for name, test := range map[string]struct{ arguments, want []string }{
		"names":      {[]string{"status", "-n", e.namespace, ""}, []string{"orders"}},
		"namespaces": {[]string{"list", "-n", ""}, []string{e.namespace, "default"}},
		"formats":    {[]string{"list", "-o", ""}, []string{"table", "wide", "json", "yaml"}},
		"commands":   {[]string{""}, []string{"list", "status", "renew"}},
	} {
		t.Run(name, func(*testing.T) {
			e.wantAll(e.run(e.plane.Kubeconfig(), append([]string{"__complete"}, test.arguments...)...).out, test.want...)
		})
	}
	if got := e.run(e.user("none"), "__complete", "status", "-n", e.namespace, ""); got.status != 0 || strings.Contains(got.out, "orders") {
		t.Errorf("completion without rights: %s", got)
	}
}
