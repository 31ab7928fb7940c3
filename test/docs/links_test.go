// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// hosts are those that links may lead to. There is no internet where the tests run, so whether a page is there is for the
// writer to see; a host that is new here is for the reviewer.
var hosts = []string{
	"argo-cd.readthedocs.io", "cert-manager.io", "external-secrets.io", "fluxcd.io", "github.com", "kubernetes.io", "pkg.go.dev", "semver.org",
	"api.aliyun.com", "www.alibabacloud.com", "developer.hashicorp.com", "go.dev", "helm.sh", "krew.sigs.k8s.io", "prometheus.io", "prometheus-operator.dev", "cyclonedx.org",
}

// Links lead to files and headings that exist, or to hosts that are known.
func TestLinks(t *testing.T) {
	all := map[string]*Page{}
	for _, page := range pages(t) {
		all[page.Path] = page
	}
	for _, page := range all {
		for _, link := range page.Links {
			from, link := inRepository(page.Path, link)
			target, err := url.Parse(link)
			switch {
			case err != nil:
				t.Errorf("%s: %v", page.Path, err)
			case strings.HasSuffix(target.Hostname(), "example.com"): // nobody is to follow it
			case target.Host != "":
				if target.Scheme != "https" || !slices.Contains(hosts, target.Host) {
					t.Errorf("%s: %s: write https, and a host of the list in links_test.go", page.Path, link)
				}
			case !leads(all, from, target):
				t.Errorf("%s: %s leads nowhere", page.Path, link)
			}
		}
	}
}

// inRepository makes a link to the repository's own files at GitHub a relative one from the root: the chart's page has such links,
// because it is also shown elsewhere.
func inRepository(from, link string) (base, target string) {
	for _, view := range []string{"blob", "tree"} {
		if file, ok := strings.CutPrefix(link, "https://github.com/stscredential/sts-credential-operator/"+view+"/main/"); ok {
			return "README.md", file
		}
	}
	return from, link
}

// leads reports whether there is such a file and, if it is a page, such a heading.
func leads(all map[string]*Page, from string, target *url.URL) bool {
	file := from
	if target.Path != "" {
		file = path.Join(path.Dir(from), target.Path)
	}
	if page, ok := all[file]; ok {
		return target.Fragment == "" || page.Anchors[target.Fragment]
	}
	_, err := os.Stat(filepath.Join("..", "..", filepath.FromSlash(file)))
	return err == nil && target.Fragment == ""
}

// Every page can be reached from the README.
func TestPagesAreLinked(t *testing.T) {
	all := map[string]*Page{}
	for _, page := range pages(t) {
		all[page.Path] = page
	}
	reached, next := map[string]bool{}, []string{"README.md"}
	for len(next) > 0 {
		from := next[0]
		next = next[1:]
		if reached[from] || all[from] == nil {
			continue
		}
		reached[from] = true
		for _, link := range all[from].Links {
			if target, err := url.Parse(link); err == nil && target.Host == "" {
				next = append(next, path.Join(path.Dir(from), target.Path))
			}
		}
	}
	for name := range all {
		if !reached[name] && name != "CHANGELOG.md" && path.Dir(name) != ".github" {
			t.Errorf("no way leads from the README to %s", name)
		}
	}
}
