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
func (s *service) wantSession(env *environment, token, key string) {
	env.Helper()
	if s.header == nil {
		env.Fatal("no request was seen")
	}
	if got := s.header.Get(token); got != env.session.SecurityToken {
		env.Errorf("%s is %q, want the Secret's token", token, got)
	}
	if got := s.header.Get(key); !strings.Contains(got, env.accessKeyID()) {
		env.Errorf("%s is %q, want the Secret's key %s in it", key, got, env.accessKeyID())
	}
}

// OSS: the SDK's provider for the environment.
func TestOSSEnvironment(t *testing.T) {
	env, service := newEnvironment(t, v1alpha1.FormatOSS), newService(t)
	env.setEnvironment()
	client := oss.NewClient(oss.LoadDefaultConfig().WithRegion("cn-hangzhou").WithEndpoint(service.URL).WithUsePathStyle(true).
		WithCredentialsProvider(osscredentials.NewEnvironmentVariableCredentialsProvider()))
	_, _ = client.ListBuckets(t.Context(), &oss.ListBucketsRequest{})
	service.wantSession(env, "x-oss-security-token", "Authorization")
}

// A template makes what the OSS SDK's provider of processes reads, again for each request: docs/workloads.md has it.
func TestOSSProcess(t *testing.T) {
	env := newTemplatedEnvironment(t, map[string]v1alpha1.TemplateText{
		"oss.json": `{"AccessKeyId": {{ .AccessKeyID | toJson }}, "AccessKeySecret": {{ .AccessKeySecret | toJson }}, "SecurityToken": {{ .SecurityToken | toJson }}, "Expiration": {{ .Expiration | toJson }}}`,
	}, v1alpha1.FormatPlain)
	service := newService(t)
	client := oss.NewClient(oss.LoadDefaultConfig().WithRegion("cn-hangzhou").WithEndpoint(service.URL).WithUsePathStyle(true).
		WithCredentialsProvider(osscredentials.NewProcessCredentialsProvider("cat " + env.file("oss.json"))))
	for range 2 {
		_, _ = client.ListBuckets(t.Context(), &oss.ListBucketsRequest{})
		service.wantSession(env, "x-oss-security-token", "Authorization")
		env.renew()
	}
}

// Tablestore: the Go SDK has no provider for the environment, so its constructor is given the variables.
func TestTablestoreEnvironment(t *testing.T) {
	env, service := newEnvironment(t, v1alpha1.FormatTablestore), newService(t)
	env.setEnvironment()
	client := tablestore.NewClientWithConfig(service.URL, "orders", os.Getenv("TABLESTORE_ACCESS_KEY_ID"),
		os.Getenv("TABLESTORE_ACCESS_KEY_SECRET"), os.Getenv("TABLESTORE_SESSION_TOKEN"), nil)
	_, _ = client.ListTable()
	service.wantSession(env, "x-ots-ststoken", "x-ots-accesskeyid")
}

// External: with a provider that reads the file, a client goes with each renewal.
func TestTablestoreFile(t *testing.T) {
	env, service := newEnvironment(t, v1alpha1.FormatExternal), newService(t)
	client := tablestore.NewClient(service.URL, "orders", "", "", tablestore.SetCredentialsProvider(tableProvider{env.file("external.json")}))
	for range 2 {
		_, _ = client.ListTable()
		service.wantSession(env, "x-ots-ststoken", "x-ots-accesskeyid")
		env.renew()
	}
}

// LogService: the variables are those of the Log Service CLI, which cannot be had here; the Go SDK is given them.
func TestLogServiceEnvironment(t *testing.T) {
	env, service := newEnvironment(t, v1alpha1.FormatLogService), newService(t)
	env.setEnvironment()
	client := sls.CreateNormalInterface(service.URL, os.Getenv("ALIYUN_LOG_CLI_ACCESSID"), os.Getenv("ALIYUN_LOG_CLI_ACCESSKEY"), os.Getenv("ALIYUN_LOG_CLI_STS_TOKEN"))
	_, _ = client.ListProject()
	service.wantSession(env, "x-acs-security-token", "Authorization")
}

// External: the same for Log Service.
func TestLogServiceFile(t *testing.T) {
	env, service := newEnvironment(t, v1alpha1.FormatExternal), newService(t)
	client := sls.CreateNormalInterfaceV2(service.URL, logProvider{env.file("external.json")})
	for range 2 {
		_, _ = client.ListProject()
		service.wantSession(env, "x-acs-security-token", "Authorization")
		env.renew()
	}
}
