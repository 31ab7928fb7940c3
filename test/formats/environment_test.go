// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package formats gives what the operator writes to the programs that read it: the SDKs and tools of Alibaba Cloud, each
// as it is published. They are a module of their own, so that none of them comes near the operator.
package formats

import (
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/credentials"
	"github.com/stscredential/sts-credential-operator/internal/secret"
	"github.com/stscredential/sts-credential-operator/internal/sts"
	"github.com/stscredential/sts-credential-operator/test/stsemulator"
)

const (
	account  = "1234567890123456"
	role     = "acs:ram::" + account + ":role/orders-reader"
	operator = "acs:ram::" + account + ":user/sts-operator"
	caller   = "acs:ram::" + account + ":assumed-role/orders-reader/shop.orders"
)

// environment is the environment of one test: an STS that verifies signatures, a Secret in it as the operator writes it, and a pod that reads
// it from its environment or from a volume.
type environment struct {
	*testing.T
	emulator   *stsemulator.Emulator
	server     *httptest.Server
	keys       credentials.Credentials
	credential *v1alpha1.StsCredential
	session    credentials.Credentials
	issued     issuedSessions
	secret     *corev1.Secret
	volume     string
	// agentURI is where the agent serves the Secret, if there is one.
	agentURI string
	// trustStore is a Java key store with the certificate of STS, if it listens with HTTPS.
	trustStore string
}

// issuedSessions are the sessions that STS has issued to the operator, by their tokens.
type issuedSessions struct{ byToken sync.Map }

func (s *issuedSessions) add(session credentials.Credentials) {
	s.byToken.Store(session.SecurityToken, session)
}

func (s *issuedSessions) find(token string) (session credentials.Credentials, found bool) {
	value, found := s.byToken.Load(token)
	if found {
		session, found = value.(credentials.Credentials)
	}
	return session, found
}

// nearExpiry is how far STS's clock is behind: its sessions of 15 minutes end two minutes from now, which is when
// programs that keep credentials until shortly before they expire read them again.
const nearExpiry = 13 * time.Minute

// newEnvironment issues a Secret with these formats.
func newEnvironment(t *testing.T, formats ...v1alpha1.SecretFormat) *environment {
	t.Helper()
	return newTemplatedEnvironment(t, nil, formats...)
}

func newTemplatedEnvironment(t *testing.T, templates map[string]v1alpha1.TemplateText, formats ...v1alpha1.SecretFormat) *environment {
	t.Helper()
	past := clocktesting.NewFakePassiveClock(time.Now().Add(-nearExpiry))
	env := &environment{T: t, emulator: stsemulator.New(stsemulator.Options{Clock: past, RequestClock: clock.RealClock{}}), volume: t.TempDir()}
	env.server = httptest.NewServer(env.emulator)
	t.Cleanup(env.server.Close)
	key := env.emulator.AddUser(account, "sts-operator")
	env.keys = credentials.Credentials{AccessKeyID: key.ID, AccessKeySecret: key.Secret}
	env.emulator.AddRole(stsemulator.Role{ARN: role, Trust: []stsemulator.Statement{{RAM: []string{operator}}}})
	env.credential = &v1alpha1.StsCredential{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "orders", UID: "1"},
		Spec:       v1alpha1.StsCredentialSpec{RoleARN: role, Secret: v1alpha1.SecretSpec{Formats: formats, Template: v1alpha1.SecretTemplate{Data: templates}}},
	}
	t.Setenv("HOME", t.TempDir()) // without a profile
	for _, variable := range os.Environ() {
		name, _, _ := strings.Cut(variable, "=")
		for _, prefix := range []string{"ALIBABA_CLOUD_", "ALICLOUD_", "OSS_", "TABLESTORE_", "ALIYUN_"} {
			if strings.HasPrefix(name, prefix) {
				t.Setenv(name, "")
			}
		}
	}
	env.renew()
	return env
}

func (env *environment) must(err error) {
	env.Helper()
	if err != nil {
		env.Fatal(err)
	}
}

// renew puts a new session into the Secret, with the operator's own code, and into the volume that it is mounted to.
func (env *environment) renew() {
	env.Helper()
	client, err := sts.New(sts.Options{Endpoint: env.server.URL, Clock: clock.RealClock{}})
	env.must(err)
	input := credentials.Request{RoleARN: role, SessionName: "shop.orders", Duration: 15 * time.Minute}
	env.session, err = client.AssumeRole(env.Context(), env.keys, input)
	env.must(err)
	env.issued.add(env.session)
	layout, err := secret.NewLayout(env.credential.Spec.Secret, "cn-hangzhou")
	env.must(err)
	env.secret, err = secret.Render(env.credential, layout, env.session, secret.Request{Request: input}, secret.WriteOptions{})
	env.must(err)
	env.mount()
	if env.agentURI != "" {
		env.waitForAgent()
	}
}

// mount writes the Secret to the volume as the kubelet does: into a folder of its own, which a link is then moved to, so
// that all files change at once.
func (env *environment) mount() {
	env.Helper()
	folder, err := os.MkdirTemp(env.volume, "..data-")
	env.must(err)
	for name, content := range env.secret.Data {
		env.must(os.WriteFile(filepath.Join(folder, name), content, 0o400))
		if link := filepath.Join(env.volume, name); !exists(link) {
			env.must(os.Symlink(filepath.Join("..data", name), link))
		}
	}
	next := filepath.Join(env.volume, "..data_tmp")
	env.must(os.Symlink(filepath.Base(folder), next))
	env.must(os.Rename(next, filepath.Join(env.volume, "..data")))
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// file is the path of a key in the volume.
func (env *environment) file(key string) string { return filepath.Join(env.volume, key) }

// read is a key's content in the volume.
func (env *environment) read(key string) string {
	env.Helper()
	content, err := os.ReadFile(env.file(key))
	env.must(err)
	return string(content)
}

// setEnvironment sets the variables that envFrom makes of the Secret, once, as at the start of a container.
func (env *environment) setEnvironment() {
	env.Helper()
	for name, value := range env.secret.Data {
		env.Setenv(name, string(value))
	}
}

// accessKeyID is the Secret's.
func (env *environment) accessKeyID() string {
	return env.secret.Annotations["sts.alibabacloud.com/access-key-id"]
}

// endpoint is where STS listens, without a scheme.
func (env *environment) endpoint() string { return strings.TrimPrefix(env.server.URL, "http://") }
