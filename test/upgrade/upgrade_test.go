// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package upgrade tests that an upgrade from another version of the manager, and a rollback to it, renew nothing.
package upgrade

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/hack/controlplane"
	"github.com/stscredential/sts-credential-operator/hack/process"
	"github.com/stscredential/sts-credential-operator/test/fixture"
	"github.com/stscredential/sts-credential-operator/test/stsemulator"
)

const (
	account   = "1234567890123456"
	role      = "acs:ram::" + account + ":role/orders-reader"
	namespace = "default"
)

// TestUpgradeAndRollback runs two managers in turn: OLD_MANAGER and NEW_MANAGER are the paths of their binaries.
func TestUpgradeAndRollback(t *testing.T) {
	older, newer := os.Getenv("OLD_MANAGER"), os.Getenv("NEW_MANAGER")
	if older == "" || newer == "" {
		t.Skip("needs OLD_MANAGER and NEW_MANAGER: see make upgrade-test")
	}
	s := newSite(t)

	s.run(older, func() { s.create("by-old"); s.waitReady("by-old") })
	s.run(newer, func() { s.create("by-new"); s.waitReady("by-old", "by-new") })
	calls, secrets := s.calls(), s.secrets()
	if calls != 2*len(specs()) {
		t.Fatalf("%d calls to STS for %d StsCredentials", calls, 2*len(specs()))
	}
	for i, binary := range []string{older, newer} {
		s.run(binary, func() {
			s.create(fmt.Sprint("check-", i)) // once these are Ready, all others were reconciled, too
			s.waitReady("by-old", "by-new", fmt.Sprint("check-", i))
			s.settle()
		})
		if want := calls + (i+1)*len(specs()); s.calls() != want {
			t.Errorf("%s: %d calls to STS, want %d", binary, s.calls(), want)
		}
		for name, data := range s.secrets() {
			if before, ok := secrets[name]; ok && !equality.Semantic.DeepEqual(before, data) {
				t.Errorf("%s: the data of Secret %s was changed", binary, name)
			}
		}
	}
}

// specs are StsCredentials whose Secrets differ in what their records hold.
func specs() map[string]v1alpha1.StsCredentialSpec {
	plain := v1alpha1.StsCredentialSpec{RoleARN: role}
	policy := plain
	policy.Policy = &runtime.RawExtension{Raw: []byte(`{"Version":"1","Statement":[{"Effect":"Allow","Action":"oss:GetObject","Resource":"*"}]}`)}
	formats := plain
	formats.Duration = &metav1.Duration{Duration: 30 * time.Minute}
	formats.Secret.Formats = []v1alpha1.SecretFormat{v1alpha1.FormatSDK, v1alpha1.FormatCLI, v1alpha1.FormatPlain}
	formats.Secret.Labels = map[string]v1alpha1.LabelValue{"team": "orders"}
	return map[string]v1alpha1.StsCredentialSpec{"plain": plain, "policy": policy, "formats": formats}
}

// site is a control plane and an STS that two managers use in turn.
type site struct {
	*testing.T
	plane    *controlplane.ControlPlane
	api      client.Client
	emulator *stsemulator.Emulator
	key      stsemulator.AccessKey
	endpoint string
	dir      string
}

func newSite(t *testing.T) *site {
	t.Helper()
	plane, err := controlplane.Start(t.Context(), controlplane.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = plane.Stop() })
	if _, err := envtest.InstallCRDs(plane.Config(), envtest.CRDInstallOptions{Paths: []string{filepath.Join("..", "..", "config", "crd")}}); err != nil {
		t.Fatal(err)
	}
	api, err := fixture.NewClient(plane.Config())
	if err != nil {
		t.Fatal(err)
	}
	emulator := stsemulator.New(stsemulator.Options{})
	server := httptest.NewServer(emulator)
	t.Cleanup(server.Close)
	key := emulator.AddUser(account, "sts-operator")
	emulator.AddRole(stsemulator.Role{ARN: role, Trust: []stsemulator.Statement{{RAM: []string{"acs:ram::" + account + ":root"}}}})
	s := &site{T: t, plane: plane, api: api, emulator: emulator, key: key, endpoint: server.URL, dir: t.TempDir()}
	if err := api.Create(t.Context(), fixture.Grant("orders", role, namespace)); err != nil {
		t.Fatal(err)
	}
	return s
}

// run runs a manager while do works.
func (s *site) run(binary string, do func()) {
	s.Helper()
	address, err := process.FreeAddress(s.Context())
	if err != nil {
		s.Fatal(err)
	}
	cmd := exec.CommandContext(s.Context(), binary, "--sts-endpoint="+s.endpoint, "--leader-elect=false", "--metrics-bind-address=0",
		"--health-probe-bind-address="+address, "--namespaces="+namespace)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+s.plane.Kubeconfig(), "ALIBABA_CLOUD_ECS_METADATA_DISABLED=true",
		"ALIBABA_CLOUD_ACCESS_KEY_ID="+s.key.ID, "ALIBABA_CLOUD_ACCESS_KEY_SECRET="+s.key.Secret)
	manager, err := process.Start(filepath.Base(binary), s.dir, cmd)
	if err != nil {
		s.Fatal(err)
	}
	defer func() {
		if err := manager.StopWithin(35 * time.Second); err != nil {
			s.Error(err)
		}
	}()
	if err := manager.Wait(s.Context(), process.Answers(http.DefaultClient, "http://"+address+"/readyz")); err != nil {
		s.Fatal(err)
	}
	do()
}

func (s *site) create(prefix string) {
	s.Helper()
	for name, spec := range specs() {
		object := &v1alpha1.StsCredential{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: prefix + "-" + name}, Spec: spec}
		if err := s.api.Create(s.Context(), object); err != nil {
			s.Fatal(err)
		}
	}
}

func (s *site) waitReady(prefixes ...string) {
	s.Helper()
	for _, prefix := range prefixes {
		for name := range specs() {
			s.eventually(func() error {
				object := &v1alpha1.StsCredential{}
				if err := s.api.Get(s.Context(), client.ObjectKey{Namespace: namespace, Name: prefix + "-" + name}, object); err != nil {
					return err
				}
				if !meta.IsStatusConditionTrue(object.Status.Conditions, v1alpha1.ConditionReady) {
					return fmt.Errorf("%s is not Ready: %+v", object.Name, object.Status.Conditions)
				}
				return nil
			})
		}
	}
}

// settle waits until no Secret was written for a while.
func (s *site) settle() {
	s.Helper()
	versions := func() string {
		list := &corev1.SecretList{}
		if err := s.api.List(s.Context(), list, client.InNamespace(namespace)); err != nil {
			s.Fatal(err)
		}
		all := ""
		for i := range list.Items {
			all += list.Items[i].ResourceVersion + " "
		}
		return all
	}
	last := ""
	s.eventually(func() error {
		now := versions()
		if now == last {
			return nil
		}
		last = now
		time.Sleep(3 * time.Second)
		return errors.New("Secrets are still written")
	})
}

func (s *site) eventually(ok func() error) {
	s.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		err := ok()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			s.Fatal(err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// calls is how often a role was assumed.
func (s *site) calls() int {
	n := 0
	for _, call := range s.emulator.Calls() {
		if call.Action == "AssumeRole" {
			n++
		}
	}
	return n
}

func (s *site) secrets() map[string]map[string][]byte {
	s.Helper()
	list := &corev1.SecretList{}
	if err := s.api.List(s.Context(), list, client.InNamespace(namespace)); err != nil {
		s.Fatal(err)
	}
	data := map[string]map[string][]byte{}
	for i := range list.Items {
		data[list.Items[i].Name] = list.Items[i].Data
	}
	return data
}
