// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package formats

import (
	"errors"
	"fmt"
	"io"
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
	"github.com/stscredential/sts-credential-operator/internal/credentials"
)

// Modules of the services' SDKs.
const (
	ossModule        = "github.com/aliyun/alibabacloud-oss-go-sdk-v2"
	tablestoreModule = "github.com/aliyun/aliyun-tablestore-go-sdk"
	logModule        = "github.com/aliyun/aliyun-log-go-sdk"
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

// newVerifyingService stands for a service that refuses every request which is not signed with a session that STS has
// issued to the operator, token included.
func newVerifyingService(env *environment, wire wire) *service {
	env.Helper()
	s := &service{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		session, err := env.verify(wire, r)
		if err != nil {
			wire.refuse(w, err)
			return
		}
		s.header = r.Header
		wire.answer(w, r, session.AccessKeyID, session.AccessKeySecret)
	}))
	env.Cleanup(s.Close)
	return s
}

// verify finds the session that signed a request, and fails unless it did.
func (env *environment) verify(wire wire, r *http.Request) (session credentials.Credentials, err error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return session, err
	}
	session, found := env.issued.find(r.Header.Get(wire.tokenHeader))
	if !found {
		return session, errors.New("the security token is missing or invalid")
	}
	if keyID := wire.keyID(r); keyID != session.AccessKeyID {
		return session, fmt.Errorf("the token belongs to another AccessKey than %q", keyID)
	}
	return session, wire.verify(r, body, session.AccessKeySecret)
}

// wantVerified insists that the last good request was signed with what the Secret holds now.
func (s *service) wantVerified(env *environment, wire wire) {
	env.Helper()
	if s.header == nil {
		env.Fatal("no request was accepted")
	}
	if got := s.header.Get(wire.tokenHeader); got != env.session.SecurityToken {
		env.Errorf("%s is %q, want the Secret's token", wire.tokenHeader, got)
	}
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
	env := newEnvironment(t, v1alpha1.FormatOSS)
	service := newVerifyingService(env, ossWire)
	record(t, row{"Go", goModule(t, ossModule), documentWorkloads, "OSS ListBuckets", inOSS, byRestart})
	env.restarted(func() {
		client := oss.NewClient(oss.LoadDefaultConfig().WithRegion("cn-hangzhou").WithEndpoint(service.URL).WithUsePathStyle(true).
			WithCredentialsProvider(osscredentials.NewEnvironmentVariableCredentialsProvider()))
		_, err := client.ListBuckets(t.Context(), &oss.ListBucketsRequest{})
		env.must(err)
		service.wantVerified(env, ossWire)
	})
}

// A template makes what the OSS SDK's provider of processes reads, again for each request: docs/workloads.md has it.
func TestOSSProcess(t *testing.T) {
	env := newTemplatedEnvironment(t, map[string]v1alpha1.TemplateText{
		"oss.json": `{"AccessKeyId": {{ .AccessKeyID | toJson }}, "AccessKeySecret": {{ .AccessKeySecret | toJson }}, "SecurityToken": {{ .SecurityToken | toJson }}, "Expiration": {{ .Expiration | toJson }}}`,
	}, v1alpha1.FormatPlain)
	service := newVerifyingService(env, ossWire)
	record(t, row{"Go", goModule(t, ossModule), documentWorkloads, "OSS ListBuckets", inOSS, byFile})
	client := oss.NewClient(oss.LoadDefaultConfig().WithRegion("cn-hangzhou").WithEndpoint(service.URL).WithUsePathStyle(true).
		WithCredentialsProvider(osscredentials.NewProcessCredentialsProvider("cat " + env.file("oss.json"))))
	for range 2 {
		_, err := client.ListBuckets(t.Context(), &oss.ListBucketsRequest{})
		env.must(err)
		service.wantVerified(env, ossWire)
		env.renew()
	}
}

// Tablestore: the Go SDK has no provider for the environment, so its constructor is given the variables.
func TestTablestoreEnvironment(t *testing.T) {
	env := newEnvironment(t, v1alpha1.FormatTablestore)
	service := newVerifyingService(env, tablestoreWire)
	record(t, row{"Go", goModule(t, tablestoreModule), documentTablestore, "Tablestore ListTable", inTablestore, byRestart})
	env.restarted(func() {
		client := tablestore.NewClientWithConfig(service.URL, "orders", os.Getenv("TABLESTORE_ACCESS_KEY_ID"),
			os.Getenv("TABLESTORE_ACCESS_KEY_SECRET"), os.Getenv("TABLESTORE_SESSION_TOKEN"), nil)
		_, err := client.ListTable()
		env.must(err)
		service.wantVerified(env, tablestoreWire)
	})
}

// External: with a provider that reads the file, a client goes with each renewal.
func TestTablestoreFile(t *testing.T) {
	env := newEnvironment(t, v1alpha1.FormatExternal)
	service := newVerifyingService(env, tablestoreWire)
	record(t, row{"Go", goModule(t, tablestoreModule), documentWorkloads, "Tablestore ListTable", inTablestore, byFile})
	client := tablestore.NewClient(service.URL, "orders", "", "", tablestore.SetCredentialsProvider(tableProvider{env.file("external.json")}))
	for range 2 {
		_, err := client.ListTable()
		env.must(err)
		service.wantVerified(env, tablestoreWire)
		env.renew()
	}
}

// LogService: the variables are those of the Log Service CLI; the Go SDK is given them.
func TestLogServiceEnvironment(t *testing.T) {
	env, service := newEnvironment(t, v1alpha1.FormatLogService), newService(t)
	record(t, row{"Go", goModule(t, logModule), documentWorkloads, "Log Service ListProject", inACS3Header, byRestart})
	env.restarted(func() {
		client := sls.CreateNormalInterface(service.URL, os.Getenv("ALIYUN_LOG_CLI_ACCESSID"), os.Getenv("ALIYUN_LOG_CLI_ACCESSKEY"), os.Getenv("ALIYUN_LOG_CLI_STS_TOKEN"))
		_, _ = client.ListProject()
		service.wantSession(env, "x-acs-security-token", "Authorization")
	})
}

// External: the same for Log Service.
func TestLogServiceFile(t *testing.T) {
	env, service := newEnvironment(t, v1alpha1.FormatExternal), newService(t)
	record(t, row{"Go", goModule(t, logModule), documentWorkloads, "Log Service ListProject", inACS3Header, byFile})
	client := sls.CreateNormalInterfaceV2(service.URL, logProvider{env.file("external.json")})
	for range 2 {
		_, _ = client.ListProject()
		service.wantSession(env, "x-acs-security-token", "Authorization")
		env.renew()
	}
}
