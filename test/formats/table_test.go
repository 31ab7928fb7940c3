// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package formats

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
)

// row is a line of the table that `make test-formats` prints: what a test found of an SDK.
type row struct {
	language string
	// sdk is the package with its version.
	sdk string
	// document is Alibaba Cloud's document whose sample the program follows, or this project's page.
	document string
	// called is the operation.
	called string
	// token is where the request had the Secret's token, or how the program fails without it.
	token string
	// renewal is how the program gets renewed credentials: by restart, file or URI.
	renewal string
}

// Documents that the programs follow.
const (
	documentTablestore = "Tablestore: STS credentials"
	documentMPaaS      = "mPaaS: STS credentials"
	documentJavaV1     = "SDK V1.0 for Java: STS token"
	documentPythonV1   = "SDK V1.0 for Python: STS token"
	documentWorkloads  = "docs/workloads.md"
	documentAgent      = "docs/agent.md"
)

// Ways in which a program gets renewed credentials.
const (
	byRestart = "restart"
	byFile    = "file"
	byURI     = "URI"
	byItself  = "by itself" // it assumes the role
)

// Places of the token in a request.
const (
	inACS3Header = "x-acs-security-token"
	inParameter  = "SecurityToken"
	inOSS        = "x-oss-security-token"
	inTablestore = "x-ots-ststoken"
)

// recorded has the rows of all tests that passed.
var recorded struct {
	sync.Mutex
	rows []row
}

// record adds a row to the table once the test has passed.
func record(t *testing.T, r row) {
	t.Helper()
	t.Cleanup(func() {
		if t.Failed() || t.Skipped() {
			return
		}
		recorded.Lock()
		defer recorded.Unlock()
		recorded.rows = append(recorded.rows, r)
	})
}

// TestMain prints the table after the tests, to the file FORMATS_TABLE if that is set.
func TestMain(m *testing.M) {
	code := m.Run()
	if err := writeTable(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	os.Exit(code)
}

func writeTable() error {
	name := os.Getenv("FORMATS_TABLE")
	if name == "" {
		return printTable(os.Stdout)
	}
	file, err := os.Create(name)
	if err != nil {
		return err
	}
	return cmp.Or(printTable(file), file.Close())
}

func printTable(to io.Writer) error {
	recorded.Lock()
	defer recorded.Unlock()
	lines := []string{"LANGUAGE\tSDK\tDOCUMENT\tCALLED\tTOKEN IN\tRENEWAL BY"}
	for _, r := range recorded.rows {
		lines = append(lines, strings.Join([]string{r.language, r.sdk, r.document, r.called, r.token, r.renewal}, "\t"))
	}
	slices.Sort(lines[1:])
	table := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, strings.Join(slices.Compact(lines), "\n"))
	return table.Flush()
}

// goModule is a Go module with the version that the tests use.
func goModule(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(content)) {
		if fields := strings.Fields(line); len(fields) >= 2 && fields[0] == path {
			return path[strings.LastIndex(strings.TrimSuffix(path, "/v2"), "/")+1:] + " " + strings.TrimPrefix(fields[1], "v")
		}
	}
	t.Fatalf("go.mod has no module %s", path)
	return ""
}

// npmPackage is an npm package with the version that the tests use.
func npmPackage(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("node", "package-lock.json"))
	if err != nil {
		t.Fatal(err)
	}
	var lock struct {
		Packages map[string]struct {
			Version string `json:"version"`
		} `json:"packages"`
	}
	if err := json.Unmarshal(content, &lock); err != nil {
		t.Fatal(err)
	}
	version := lock.Packages["node_modules/"+name].Version
	if version == "" {
		t.Fatalf("package-lock.json has no package %s", name)
	}
	return name + " " + version
}
