// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package chart

import (
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

const (
	repository = "https://github.com/stscredential/sts-credential-operator"
	rawFiles   = "https://raw.githubusercontent.com/stscredential/sts-credential-operator/main/"
)

// metadata is Chart.yaml, as Helm and Artifact Hub read it.
type metadata struct {
	Name, Description, Version, Home, Icon string
	Sources, Keywords                      []string
	Maintainers                            []struct{ Name, Email, URL string }
	Annotations                            map[string]string
}

func readYAML(t *testing.T, path string, into any) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err == nil {
		err = yaml.Unmarshal(content, into)
	}
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

// Chart.yaml has what Artifact Hub shows, with links that lead somewhere: https://artifacthub.io/docs/topics/annotations/helm
func TestChartMetadata(t *testing.T) {
	var m metadata
	readYAML(t, chart+"/Chart.yaml", &m)
	if m.Home != repository || !slices.Equal(m.Sources, []string{repository}) || len(m.Maintainers) != 1 || m.Maintainers[0].Name == "" || m.Maintainers[0].URL != repository {
		t.Errorf("home %q, sources %q, maintainers %v", m.Home, m.Sources, m.Maintainers)
	}
	wantFile(t, m.Icon)
	for key := range m.Annotations {
		known := []string{
			"category", "license", "operator", "operatorCapabilities", "crds", "crdsExamples", "links", "screenshots", "images", "changes", "prerelease",
			"containsSecurityUpdates", "maintainers", "recommendations", "signKey", "alternativeName",
		}
		if !slices.Contains(known, strings.TrimPrefix(key, "artifacthub.io/")) {
			t.Errorf("Artifact Hub knows no annotation %s", key)
		}
	}
	for key, options := range map[string][]string{
		"category": {"ai-machine-learning", "database", "integration-delivery", "monitoring-logging", "networking", "security", "storage", "streaming-messaging", "skip-prediction"},
		"license":  {"Apache-2.0"}, "operator": {"true"},
		"operatorCapabilities": {"Basic Install", "Seamless Upgrades", "Full Lifecycle", "Deep Insights", "Auto Pilot"},
	} {
		if got := m.Annotations["artifacthub.io/"+key]; !slices.Contains(options, got) {
			t.Errorf("%s is %q, want one of %q", key, got, options)
		}
	}
	var links []struct{ Name, URL string }
	m.annotation(t, "links", &links)
	for _, link := range links {
		if link.Name == "" || !strings.HasPrefix(link.URL, repository+"/") {
			t.Errorf("link %v", link)
		}
	}
	var pictures []struct{ Title, URL string }
	m.annotation(t, "screenshots", &pictures)
	for _, picture := range pictures {
		wantFile(t, picture.URL)
	}
}

// annotation reads an annotation that is YAML, and insists on its fields and that it is not empty.
func (m *metadata) annotation(t *testing.T, name string, into any) {
	t.Helper()
	value := m.Annotations["artifacthub.io/"+name]
	if err := yaml.UnmarshalStrict([]byte(value), into); err != nil || value == "" {
		t.Errorf("annotation %s: %v in %q", name, err, value)
	}
}

// wantFile insists that an URL of a raw file is one of the repository's.
func wantFile(t *testing.T, raw string) {
	t.Helper()
	path, ok := strings.CutPrefix(raw, rawFiles)
	if _, err := os.Stat(root + "/" + path); !ok || err != nil {
		t.Errorf("%q is no file of the repository: %v", raw, err)
	}
}

// The CRDs that Artifact Hub shows are the chart's, each with an example that a user could apply.
func TestChartCRDs(t *testing.T) {
	var m metadata
	readYAML(t, chart+"/Chart.yaml", &m)
	var crds []struct{ Kind, Version, Name, DisplayName, Description string }
	m.annotation(t, "crds", &crds)
	var examples []map[string]any
	m.annotation(t, "crdsExamples", &examples)
	files, err := os.ReadDir(chart + "/files/crds")
	if err != nil || len(files) != len(crds) || len(examples) != len(crds) {
		t.Fatalf("%d CRDs and %d examples of %d CRDs: %v", len(crds), len(examples), len(files), err)
	}
	for _, file := range files {
		var crd apiextensionsv1.CustomResourceDefinition
		readYAML(t, chart+"/files/crds/"+file.Name(), &crd)
		shown := slices.IndexFunc(crds, func(c struct{ Kind, Version, Name, DisplayName, Description string }) bool {
			return c.Name == crd.Name && c.Kind == crd.Spec.Names.Kind && c.Version == crd.Spec.Versions[0].Name && c.DisplayName != "" && c.Description != ""
		})
		example := slices.IndexFunc(examples, func(o map[string]any) bool {
			return o["kind"] == crd.Spec.Names.Kind && o["apiVersion"] == crd.Spec.Group+"/"+crd.Spec.Versions[0].Name
		})
		if shown < 0 || example < 0 {
			t.Errorf("%s is shown at %d, with its example at %d", crd.Name, shown, example)
		}
	}
}

// artifacthub-repo.yml names no owner and no ID that nobody has registered.
func TestRepositoryMetadata(t *testing.T) {
	content, err := os.ReadFile(root + "/charts/artifacthub-repo.yml")
	if err != nil {
		t.Fatal(err)
	}
	var m struct {
		RepositoryID string                           `json:"repositoryID"`
		Owners       []struct{ Name, Email string }   `json:"owners"`
		Ignore       []struct{ Name, Version string } `json:"ignore"`
	}
	if err := yaml.UnmarshalStrict(content, &m); err != nil || len(m.Owners) != 0 {
		t.Errorf("%+v, %v", m, err)
	}
}

// The chart's page is shown at Artifact Hub, where a relative link leads nowhere. test/docs follows the others.
func TestReadmeLinks(t *testing.T) {
	readme, err := os.ReadFile(chart + "/README.md")
	if err != nil {
		t.Fatal(err)
	}
	links := regexp.MustCompile(`\]\(([^)\s]+)\)`).FindAllStringSubmatch(string(readme), -1)
	if len(links) < 15 {
		t.Fatalf("%d links", len(links))
	}
	for _, link := range links {
		target, err := url.Parse(link[1])
		if err != nil || !strings.HasPrefix(link[1], "#") && (target.Scheme != "https" || target.Host == "") {
			t.Errorf("%s: %v", link[1], err)
		}
	}
}

// crdsExamples are objects that a real API server takes.
func (c *cluster) wantExamples(t *testing.T) {
	t.Helper()
	var m metadata
	readYAML(t, chart+"/Chart.yaml", &m)
	var examples []map[string]any
	m.annotation(t, "crdsExamples", &examples)
	for _, example := range examples {
		if err := c.dryRun(&unstructured.Unstructured{Object: example}); err != nil {
			t.Errorf("the example of %v: %v", example["kind"], err)
		}
	}
}
