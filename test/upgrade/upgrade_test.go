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
	env := newEnvironment(t)

	env.run(older, func() { env.create("by-old"); env.waitReady("by-old") })
	env.run(newer, func() { env.create("by-new"); env.waitReady("by-old", "by-new") })
	calls, secrets := env.calls(), env.secrets()
	if calls != 2*len(specs()) {
		t.Fatalf("%d calls to STS for %d StsCredentials", calls, 2*len(specs()))
	}
	for i, binary := range []string{older, newer} {
		env.run(binary, func() {
			env.create(fmt.Sprint("check-", i)) // once these are Ready, all others were reconciled, too
			env.waitReady("by-old", "by-new", fmt.Sprint("check-", i))
			env.waitForQueue()
		})
		if want := calls + (i+1)*len(specs()); env.calls() != want {
			t.Errorf("%s: %d calls to STS, want %d", binary, env.calls(), want)
		}
		for name, data := range env.secrets() {
			if before, ok := secrets[name]; ok && !equality.Semantic.DeepEqual(before, data) {
				t.Errorf("%s: the data of Secret %s was changed", binary, name)
			}
		}
	}
}

// specs are specs of StsCredentials whose Secrets have different records.
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

// environment has a control plane and an STS that two managers use in turn.
type environment struct {
	*testing.T
	plane    *controlplane.ControlPlane
	api      client.Client
	emulator *stsemulator.Emulator
	key      stsemulator.AccessKey
	endpoint string
	dir      string
}

func newEnvironment(t *testing.T) *environment {
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
	env := &environment{T: t, plane: plane, api: api, emulator: emulator, key: key, endpoint: server.URL, dir: t.TempDir()}
	if err := api.Create(t.Context(), fixture.Grant("orders", role, namespace)); err != nil {
		t.Fatal(err)
	}
	return env
}

// run runs a manager while it calls do.
func (env *environment) run(binary string, do func()) {
	env.Helper()
	address, err := process.FreeAddress(env.Context())
	if err != nil {
		env.Fatal(err)
	}
	cmd := exec.CommandContext(env.Context(), binary, "--sts-endpoint="+env.endpoint, "--leader-elect=false", "--metrics-bind-address=0",
		"--health-probe-bind-address="+address, "--namespaces="+namespace)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+env.plane.Kubeconfig(), "ALIBABA_CLOUD_ECS_METADATA_DISABLED=true",
		"ALIBABA_CLOUD_ACCESS_KEY_ID="+env.key.ID, "ALIBABA_CLOUD_ACCESS_KEY_SECRET="+env.key.Secret)
	manager, err := process.Start(filepath.Base(binary), env.dir, cmd)
	if err != nil {
		env.Fatal(err)
	}
	defer func() {
		if err := manager.StopWithin(35 * time.Second); err != nil {
			env.Error(err)
		}
	}()
	if err := manager.Wait(env.Context(), process.Answers(http.DefaultClient, "http://"+address+"/readyz")); err != nil {
		env.Fatal(err)
	}
	do()
}

func (env *environment) create(prefix string) {
	env.Helper()
	for name, spec := range specs() {
		object := &v1alpha1.StsCredential{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: prefix + "-" + name}, Spec: spec}
		if err := env.api.Create(env.Context(), object); err != nil {
			env.Fatal(err)
		}
	}
}

func (env *environment) waitReady(prefixes ...string) {
	env.Helper()
	for _, prefix := range prefixes {
		for name := range specs() {
			env.eventually(func() error {
				object := &v1alpha1.StsCredential{}
				if err := env.api.Get(env.Context(), client.ObjectKey{Namespace: namespace, Name: prefix + "-" + name}, object); err != nil {
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

// waitForQueue waits until no Secret was written for three seconds.
func (env *environment) waitForQueue() {
	env.Helper()
	versions := func() string {
		list := &corev1.SecretList{}
		if err := env.api.List(env.Context(), list, client.InNamespace(namespace)); err != nil {
			env.Fatal(err)
		}
		all := ""
		for i := range list.Items {
			all += list.Items[i].ResourceVersion + " "
		}
		return all
	}
	last := ""
	env.eventually(func() error {
		now := versions()
		if now == last {
			return nil
		}
		last = now
		time.Sleep(3 * time.Second)
		return errors.New("Secrets are still written")
	})
}

func (env *environment) eventually(ok func() error) {
	env.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		err := ok()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			env.Fatal(err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// calls counts the calls of AssumeRole.
func (env *environment) calls() int {
	n := 0
	for _, call := range env.emulator.Calls() {
		if call.Action == "AssumeRole" {
			n++
		}
	}
	return n
}

func (env *environment) secrets() map[string]map[string][]byte {
	env.Helper()
	list := &corev1.SecretList{}
	if err := env.api.List(env.Context(), list, client.InNamespace(namespace)); err != nil {
		env.Fatal(err)
	}
	data := map[string]map[string][]byte{}
	for i := range list.Items {
		data[list.Items[i].Name] = list.Items[i].Data
	}
	return data
}
