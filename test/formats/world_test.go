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

// world is one test's own: a STS that verifies signatures, a Secret in it as the operator writes it, and a pod that reads
// it from its environment or from a volume.
type world struct {
	*testing.T
	emulator   *stsemulator.Emulator
	server     *httptest.Server
	keys       credentials.Credentials
	credential *v1alpha1.StsCredential
	session    credentials.Credentials
	secret     *corev1.Secret
	volume     string
}

// nearExpiry is how far STS's clock is behind: its sessions of 15 minutes end two minutes from now, which is when
// programs that keep credentials until shortly before they expire read them again.
const nearExpiry = 13 * time.Minute

// newWorld issues a Secret with these formats.
func newWorld(t *testing.T, formats ...v1alpha1.SecretFormat) *world {
	t.Helper()
	return newTemplatedWorld(t, nil, formats...)
}

func newTemplatedWorld(t *testing.T, templates map[string]v1alpha1.TemplateText, formats ...v1alpha1.SecretFormat) *world {
	t.Helper()
	past := clocktesting.NewFakePassiveClock(time.Now().Add(-nearExpiry))
	w := &world{T: t, emulator: stsemulator.New(stsemulator.Options{Clock: past, RequestClock: clock.RealClock{}}), volume: t.TempDir()}
	w.server = httptest.NewServer(w.emulator)
	t.Cleanup(w.server.Close)
	key := w.emulator.AddUser(account, "sts-operator")
	w.keys = credentials.Credentials{AccessKeyID: key.ID, AccessKeySecret: key.Secret}
	w.emulator.AddRole(stsemulator.Role{ARN: role, Trust: []stsemulator.Statement{{RAM: []string{operator}}}})
	w.credential = &v1alpha1.StsCredential{
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
	w.renew()
	return w
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// renew puts a new session into the Secret, with the operator's own code, and into the volume that it is mounted to.
func (w *world) renew() {
	w.Helper()
	client, err := sts.New(sts.Options{Endpoint: w.server.URL, Clock: clock.RealClock{}})
	w.must(err)
	input := credentials.Request{RoleARN: role, SessionName: "shop.orders", Duration: 15 * time.Minute}
	w.session, err = client.AssumeRole(w.Context(), w.keys, input)
	w.must(err)
	layout, err := secret.NewLayout(w.credential.Spec.Secret, "cn-hangzhou")
	w.must(err)
	w.secret, err = secret.Render(w.credential, layout, w.session, secret.Request{Request: input}, secret.WriteOptions{})
	w.must(err)
	w.mount()
}

// mount writes the Secret to the volume as the kubelet does: into a folder of its own, which a link is then moved to, so
// that all files change at once.
func (w *world) mount() {
	w.Helper()
	folder, err := os.MkdirTemp(w.volume, "..data-")
	w.must(err)
	for name, content := range w.secret.Data {
		w.must(os.WriteFile(filepath.Join(folder, name), content, 0o400))
		if link := filepath.Join(w.volume, name); !exists(link) {
			w.must(os.Symlink(filepath.Join("..data", name), link))
		}
	}
	next := filepath.Join(w.volume, "..data_tmp")
	w.must(os.Symlink(filepath.Base(folder), next))
	w.must(os.Rename(next, filepath.Join(w.volume, "..data")))
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// file is the path of a key in the volume.
func (w *world) file(key string) string { return filepath.Join(w.volume, key) }

// read is a key's content in the volume.
func (w *world) read(key string) string {
	w.Helper()
	content, err := os.ReadFile(w.file(key))
	w.must(err)
	return string(content)
}

// environment is what envFrom makes of the Secret, read once, as a container's start does.
func (w *world) environment() {
	w.Helper()
	for name, value := range w.secret.Data {
		w.Setenv(name, string(value))
	}
}

// accessKeyID is the Secret's.
func (w *world) accessKeyID() string {
	return w.secret.Annotations["sts.alibabacloud.com/access-key-id"]
}

// endpoint is where STS listens, without a scheme.
func (w *world) endpoint() string { return strings.TrimPrefix(w.server.URL, "http://") }

// wantCaller insists that STS has just seen a good call of GetCallerIdentity, signed with a session.
func (w *world) wantCaller(accessKeyID string) {
	w.Helper()
	calls := w.emulator.Calls()
	last := calls[len(calls)-1]
	if last.Action != "GetCallerIdentity" || last.AccessKeyID != accessKeyID || last.CallerARN != caller || last.Status != 200 {
		w.Errorf("STS saw %s by %s (%s), answered %d %s; want GetCallerIdentity by %s", last.Action, last.AccessKeyID, last.CallerARN, last.Status, last.Code, accessKeyID)
	}
}
