// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package formats

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/auth/credentials"
	sls "github.com/aliyun/aliyun-log-go-sdk"
	"github.com/aliyun/aliyun-tablestore-go-sdk/common"
)

// The samples of docs/workloads.md.

// session is what external.json holds. It is read as a whole, so that no renewal comes in between two of its values.
type session struct {
	ID     string `json:"access_key_id"`
	Secret string `json:"access_key_secret"`
	Token  string `json:"sts_token"`
}

func readSession(file string) (s session, err error) {
	content, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(content, &s)
	}
	return s, err
}

// fileProvider is a CredentialsProvider of the Go SDK V1.0, for sdk.NewClientWithOptions.
type fileProvider struct{ file string }

func (p fileProvider) GetCredentials() (*credentials.Credentials, error) {
	s, err := readSession(p.file)
	return &credentials.Credentials{AccessKeyId: s.ID, AccessKeySecret: s.Secret, SecurityToken: s.Token}, err
}

func (fileProvider) GetProviderName() string { return "file" }

// tableProvider is a CredentialsProvider of the Tablestore SDK, for tablestore.SetCredentialsProvider. It cannot fail: a
// request without credentials does.
type tableProvider struct{ file string }

func (p tableProvider) GetCredentials() common.Credentials {
	s, _ := readSession(p.file)
	return &common.DefaultCredentials{AccessKeyID: s.ID, AccessKeySecret: s.Secret, SecurityToken: s.Token}
}

// logProvider is a CredentialsProvider of the Log Service SDK, for sls.CreateNormalInterfaceV2.
type logProvider struct{ file string }

func (p logProvider) GetCredentials() (sls.Credentials, error) {
	s, err := readSession(p.file)
	return sls.Credentials{AccessKeyID: s.ID, AccessKeySecret: s.Secret, SecurityToken: s.Token}, err
}

// unindented matches how far a line is indented.
var unindented = regexp.MustCompile(`(?m)^[ \t]+`)

// What docs/workloads.md shows of Go, JavaScript, Python and Java stands here or in the folders node, python and java word for
// word, and so is tested. Java's lines may be indented, for they stand in a class.
func TestSamples(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "workloads.md"))
	if err != nil {
		t.Fatal(err)
	}
	var sources []string
	patterns := []string{
		"*_test.go", filepath.Join("node", "*.js"), filepath.Join("python", "*.py"),
		filepath.Join("java", "src", "main", "java", "formats", "*.java"),
	}
	for _, pattern := range patterns {
		files, _ := filepath.Glob(pattern)
		for _, file := range files {
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			sources = append(sources, string(content))
		}
	}
	all := unindented.ReplaceAllString(strings.Join(sources, "\n"), "")
	blocks := regexp.MustCompile("(?ms)^```(?:go|js|java|python)\n(.*?)^```$").FindAllStringSubmatch(string(page), -1)
	if len(blocks) < 3 {
		t.Errorf("only %d samples found", len(blocks))
	}
	for _, block := range blocks {
		if !strings.Contains(all, unindented.ReplaceAllString(block[1], "")) {
			t.Errorf("this sample is not tested:\n%s", block[1])
		}
	}
}
