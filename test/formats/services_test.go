// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package formats

import (
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/aliyun/alibabacloud-oss-go-sdk-v2/oss"
	osscredentials "github.com/aliyun/alibabacloud-oss-go-sdk-v2/oss/credentials"
	sls "github.com/aliyun/aliyun-log-go-sdk"
	"github.com/aliyun/aliyun-tablestore-go-sdk/tablestore"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
)

// service stands for a service whose answers do not matter here: it keeps the headers of the last request.
type service struct {
	*httptest.Server
	header http.Header
}

func newService(t *testing.T) *service {
	t.Helper()
	s := &service{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.header = r.Header
		w.WriteHeader(http.StatusForbidden)
	}))
	t.Cleanup(s.Close)
	return s
}

// wantSession insists that the last request carried the token of what the Secret holds now, and named its key.
func (s *service) wantSession(w *world, token, key string) {
	w.Helper()
	if s.header == nil {
		w.Fatal("no request was seen")
	}
	if got := s.header.Get(token); got != w.session.SecurityToken {
		w.Errorf("%s is %q, want the Secret's token", token, got)
	}
	if got := s.header.Get(key); !strings.Contains(got, w.accessKeyID()) {
		w.Errorf("%s is %q, want the Secret's key %s in it", key, got, w.accessKeyID())
	}
}

// OSS: the SDK's provider for the environment.
func TestOSSEnvironment(t *testing.T) {
	w, service := newWorld(t, v1alpha1.FormatOSS), newService(t)
	w.environment()
	client := oss.NewClient(oss.LoadDefaultConfig().WithRegion("cn-hangzhou").WithEndpoint(service.URL).WithUsePathStyle(true).
		WithCredentialsProvider(osscredentials.NewEnvironmentVariableCredentialsProvider()))
	_, _ = client.ListBuckets(t.Context(), &oss.ListBucketsRequest{})
	service.wantSession(w, "x-oss-security-token", "Authorization")
}

// A template makes what the OSS SDK's provider of processes reads, again for each request: docs/workloads.md has it.
func TestOSSProcess(t *testing.T) {
	w := newTemplatedWorld(t, map[string]v1alpha1.TemplateText{
		"oss.json": `{"AccessKeyId": {{ .AccessKeyID | toJson }}, "AccessKeySecret": {{ .AccessKeySecret | toJson }}, "SecurityToken": {{ .SecurityToken | toJson }}, "Expiration": {{ .Expiration | toJson }}}`,
	}, v1alpha1.FormatPlain)
	service := newService(t)
	client := oss.NewClient(oss.LoadDefaultConfig().WithRegion("cn-hangzhou").WithEndpoint(service.URL).WithUsePathStyle(true).
		WithCredentialsProvider(osscredentials.NewProcessCredentialsProvider("cat " + w.file("oss.json"))))
	for range 2 {
		_, _ = client.ListBuckets(t.Context(), &oss.ListBucketsRequest{})
		service.wantSession(w, "x-oss-security-token", "Authorization")
		w.renew()
	}
}

// Tablestore: the Go SDK has no provider for the environment, so its constructor is given the variables.
func TestTablestoreEnvironment(t *testing.T) {
	w, service := newWorld(t, v1alpha1.FormatTablestore), newService(t)
	w.environment()
	client := tablestore.NewClientWithConfig(service.URL, "orders", os.Getenv("TABLESTORE_ACCESS_KEY_ID"),
		os.Getenv("TABLESTORE_ACCESS_KEY_SECRET"), os.Getenv("TABLESTORE_SESSION_TOKEN"), nil)
	_, _ = client.ListTable()
	service.wantSession(w, "x-ots-ststoken", "x-ots-accesskeyid")
}

// External: with a provider that reads the file, a client goes with each renewal.
func TestTablestoreFile(t *testing.T) {
	w, service := newWorld(t, v1alpha1.FormatExternal), newService(t)
	client := tablestore.NewClient(service.URL, "orders", "", "", tablestore.SetCredentialsProvider(tableProvider{w.file("external.json")}))
	for range 2 {
		_, _ = client.ListTable()
		service.wantSession(w, "x-ots-ststoken", "x-ots-accesskeyid")
		w.renew()
	}
}

// LogService: the variables are those of the Log Service CLI, which cannot be had here; the Go SDK is given them.
func TestLogServiceEnvironment(t *testing.T) {
	w, service := newWorld(t, v1alpha1.FormatLogService), newService(t)
	w.environment()
	client := sls.CreateNormalInterface(service.URL, os.Getenv("ALIYUN_LOG_CLI_ACCESSID"), os.Getenv("ALIYUN_LOG_CLI_ACCESSKEY"), os.Getenv("ALIYUN_LOG_CLI_STS_TOKEN"))
	_, _ = client.ListProject()
	service.wantSession(w, "x-acs-security-token", "Authorization")
}

// External: the same for Log Service.
func TestLogServiceFile(t *testing.T) {
	w, service := newWorld(t, v1alpha1.FormatExternal), newService(t)
	client := sls.CreateNormalInterfaceV2(service.URL, logProvider{w.file("external.json")})
	for range 2 {
		_, _ = client.ListProject()
		service.wantSession(w, "x-acs-security-token", "Authorization")
		w.renew()
	}
}
