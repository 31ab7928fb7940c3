// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package kubectl

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stscredential/sts-credential-operator/hack/controlplane"
)

func duration(text string) *metav1.Duration {
	d, err := time.ParseDuration(text)
	if err != nil {
		panic(err)
	}
	return &metav1.Duration{Duration: d}
}

// pageRight is a row of the table of rights in docs/kubectl-plugin.md.
type pageRight struct {
	command string // such as renew --wait
	grant
}

// rightsOfPage reads the table.
func rightsOfPage(t *testing.T) (rights []pageRight) {
	t.Helper()
	root, err := controlplane.RepositoryRoot()
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(root, "docs", "kubectl-plugin.md"))
	if err != nil {
		t.Fatal(err)
	}
	row := regexp.MustCompile("(?m)^\\| `([a-z -]+)` \\| ([a-z]+) \\| `([a-z.]+)` \\| (namespace|cluster) \\|")
	for _, m := range row.FindAllStringSubmatch(string(page), -1) {
		resource, group, _ := strings.Cut(m[3], ".")
		rights = append(rights, pageRight{command: m[1], grant: grant{verb: m[2], group: group, resource: resource, everywhere: m[4] == "cluster"}})
	}
	if len(rights) < 8 {
		t.Fatalf("docs/kubectl-plugin.md has only %d rights", len(rights))
	}
	return rights
}

// Each command works with exactly the rights that the page names, and says which one is missing without it.
func TestLeastPrivilege(t *testing.T) {
	all := rightsOfPage(t)
	for command, line := range map[string][]string{
		"list":         {"list"},
		"status":       {"status", "orders", "-o", "wide"},
		"renew":        {"renew", "orders"},
		"renew --all":  {"renew", "--all"},
		"renew --wait": {"renew", "orders", "--wait"},
		"scan":         {"scan"},
		"trust-policy": {"trust-policy", "orders", "--principal", "acs:ram::1234567890123456:user/sts-operator"},
	} {
		t.Run(strings.ReplaceAll(command, " --", "-"), func(t *testing.T) {
			e := newEnvironment(t)
			e.credential("orders")
			line := slices.Insert(slices.Clone(line), 1, "-n", e.namespace)
			var rights []grant
			for _, r := range all {
				if r.command == command {
					rights = append(rights, r.grant)
				}
			}
			user := e.user("exact", rights...)
			var got result
			e.eventually("it works with the rights of the page", func() bool {
				got = e.run(user, line...)
				return got.status == 0 && !strings.Contains(got.out, "Not looked at")
			})
			for i, missing := range rights {
				name := strings.TrimSuffix(missing.resource+"."+missing.group, ".")
				user := e.user("without-"+missing.verb+"-"+missing.resource, slices.Delete(slices.Clone(rights), i, i+1)...)
				want := "may not " + missing.verb + " " + name
				e.eventually("it says: "+want, func() bool {
					got = e.run(user, line...)
					return strings.Count(got.String(), "may not") == 1 && strings.Contains(got.String(), want)
				})
			}
		})
	}
}
