// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/hack/controlplane"
	"github.com/stscredential/sts-credential-operator/internal/secret"
	"github.com/stscredential/sts-credential-operator/test/stsemulator"
)

const (
	account = "1234567890123456"
	role    = "acs:ram::" + account + ":role/orders-reader"
)

// environment is a cluster and an STS for managers that run as separate processes.
type environment struct {
	*testing.T
	api        client.Client
	emulator   *stsemulator.Emulator
	key        stsemulator.AccessKey
	server     *httptest.Server
	binary     string
	kubeconfig string
	output     bytes.Buffer
	outputLock sync.Mutex
}

// Write appends the output of the managers.
func (env *environment) Write(p []byte) (int, error) {
	env.outputLock.Lock()
	defer env.outputLock.Unlock()
	return env.output.Write(p)
}

func (env *environment) printed() string {
	env.outputLock.Lock()
	defer env.outputLock.Unlock()
	return env.output.String()
}

func (env *environment) must(err error) {
	env.Helper()
	if err != nil {
		env.Fatal(err)
	}
}

func newEnvironment(t *testing.T) *environment {
	t.Helper()
	env := &environment{T: t, emulator: stsemulator.New(stsemulator.Options{})}
	env.key = env.emulator.AddUser(account, "sts-operator")
	env.emulator.AddRole(stsemulator.Role{ARN: role, Trust: []stsemulator.Statement{{RAM: []string{"acs:ram::" + account + ":user/sts-operator"}}}})
	env.server = httptest.NewServer(env.emulator)
	t.Cleanup(env.server.Close)

	plane, err := controlplane.Start(context.Background(), controlplane.Options{})
	env.must(err)
	t.Cleanup(func() { _ = plane.Stop() })
	_, err = envtest.InstallCRDs(plane.Config(), envtest.CRDInstallOptions{Paths: []string{filepath.Join("..", "..", "config", "crd")}})
	env.must(err)
	scheme := runtime.NewScheme()
	env.must(errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)))
	env.api, err = client.New(plane.Config(), client.Options{Scheme: scheme})
	env.must(err)
	env.kubeconfig = plane.Kubeconfig()

	env.binary = filepath.Join(t.TempDir(), "manager")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-ldflags", "-X main.version=v9.9.9", "-o", env.binary, ".").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return env
}

// start runs a manager with one worker, so that at most one call is in progress when it is killed.
func (env *environment) start(flags ...string) *exec.Cmd {
	env.Helper()
	manager := exec.CommandContext(env.Context(), env.binary, append([]string{"--sts-endpoint=" + env.server.URL, "--leader-elect=false",
		"--health-probe-bind-address=0", "--metrics-bind-address=0", "--max-concurrent-reconciles=1"}, flags...)...)
	manager.Env = append(os.Environ(), "KUBECONFIG="+env.kubeconfig,
		"ALIBABA_CLOUD_ACCESS_KEY_ID="+env.key.ID, "ALIBABA_CLOUD_ACCESS_KEY_SECRET="+env.key.Secret)
	manager.Stdout, manager.Stderr = env, env
	env.must(manager.Start())
	env.Cleanup(func() { _ = manager.Process.Kill() })
	return manager
}

func (env *environment) calls() int {
	n := 0
	for _, c := range env.emulator.Calls() {
		if c.Action == "AssumeRole" {
			n++
		}
	}
	return n
}

func (env *environment) eventually(what string, done func() bool) {
	env.Helper()
	err := wait.PollUntilContextTimeout(env.Context(), 5*time.Millisecond, time.Minute, true, func(context.Context) (bool, error) { return done(), nil })
	if err != nil {
		env.Fatalf("waited in vain: %s; the manager printed:\n%s", what, env.printed())
	}
}

// ready counts the StsCredentials that are Ready, and whose Secret matches their status.
func (env *environment) ready() int {
	env.Helper()
	var credentials v1alpha1.StsCredentialList
	env.must(env.api.List(env.Context(), &credentials))
	n := 0
	for _, c := range credentials.Items {
		held := &corev1.Secret{}
		if meta.IsStatusConditionTrue(c.Status.Conditions, v1alpha1.ConditionReady) &&
			env.api.Get(env.Context(), client.ObjectKey{Namespace: c.Namespace, Name: c.SecretName()}, held) == nil &&
			string(held.Data[secret.KeyAccessKeyID]) == c.Status.AccessKeyID {
			n++
		}
	}
	return n
}

// kill -9 at any moment loses no credentials: the restarted operator keeps those that were issued, issues the others, and renews none
// that are valid.
func TestKilledAndRestarted(t *testing.T) {
	env := newEnvironment(t)
	env.must(env.api.Create(t.Context(), &v1alpha1.StsRoleGrant{ObjectMeta: metav1.ObjectMeta{Name: "default"}, Spec: v1alpha1.StsRoleGrantSpec{
		Namespaces: v1alpha1.GrantNamespaces{Names: []v1alpha1.NamespaceName{"default"}}, RoleARNs: []v1alpha1.RoleARNPattern{role},
	}}))
	const credentials, kills = 40, 8
	for i := range credentials {
		env.must(env.api.Create(t.Context(), &v1alpha1.StsCredential{
			ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: fmt.Sprint("orders-", i)},
			Spec:       v1alpha1.StsCredentialSpec{RoleARN: role},
		}))
	}
	for i := range kills {
		manager := env.start()
		env.eventually("calls are made", func() bool { return env.calls() >= (i+1)*credentials/(kills+2) })
		env.must(manager.Process.Kill())
		_ = manager.Wait()
	}
	manager := env.start()
	env.eventually("all are ready", func() bool { return env.ready() == credentials })
	calls := env.calls()
	if calls > credentials+kills {
		t.Errorf("%d calls for %d credentials and %d kills with one worker", calls, credentials, kills)
	}
	env.stop(manager)

	address := "127.0.0.1:" + freePort(t)
	again := env.start("--metrics-bind-address="+address, "--metrics-secure=false")
	env.eventually("the manager has reconciled all", func() bool { return env.reconciles("http://"+address+"/metrics") >= credentials })
	if got := env.calls(); got != calls || env.ready() != credentials {
		t.Errorf("the restart made %d calls, and %d of %d are ready", got-calls, env.ready(), credentials)
	}
	env.stop(again)
	env.wantSilent()
	for _, want := range []string{`"arn": "acs:ram::` + account + `:user/sts-operator"`, `"endpoint": "` + env.server.URL + `"`, "audit"} {
		if !strings.Contains(strings.ReplaceAll(env.printed(), `":"`, `": "`), want) {
			t.Errorf("the log lacks %s", want)
		}
	}
	if agent := env.emulator.Calls()[0].UserAgent; !strings.Contains(agent, "sts-credential-operator/v9.9.9") {
		t.Errorf("user agent %q", agent)
	}
}

// stop stops a manager as the kubelet does, and requires that it exits with status 0.
func (env *environment) stop(manager *exec.Cmd) {
	env.Helper()
	env.must(manager.Process.Signal(syscall.SIGTERM))
	if err := manager.Wait(); err != nil {
		env.Errorf("the manager ended with %v:\n%s", err, env.printed())
	}
}

// get reads a URL with a token, if there is one, and does not verify the certificate. It returns status 0 without a response.
func (env *environment) get(url, token string) (status int, body string) {
	env.Helper()
	caller := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	request, err := http.NewRequestWithContext(env.Context(), http.MethodGet, url, nil)
	env.must(err)
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := caller.Do(request)
	if err != nil {
		return 0, ""
	}
	defer func() { _ = response.Body.Close() }()
	content, err := io.ReadAll(response.Body)
	env.must(err)
	return response.StatusCode, string(content)
}

// reconciles returns the number of reconciles in the metrics of a manager.
func (env *environment) reconciles(url string) (n int) {
	env.Helper()
	_, body := env.get(url, "")
	for line := range strings.Lines(body) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "} "); ok && strings.HasPrefix(name, "controller_runtime_reconcile_total{") {
			count, err := strconv.Atoi(value)
			env.must(err)
			n += count
		}
	}
	return n
}

// wantSilent requires that no secret value was printed.
func (env *environment) wantSilent() {
	env.Helper()
	hidden := []string{env.key.Secret}
	var secrets corev1.SecretList
	env.must(env.api.List(env.Context(), &secrets, client.HasLabels{secret.UIDLabel}))
	for _, held := range secrets.Items {
		hidden = append(hidden, string(held.Data[secret.KeyAccessKeySecret]), string(held.Data[secret.KeySecurityToken]))
	}
	for _, h := range hidden {
		if h == "" || strings.Contains(env.printed(), h) {
			env.Fatal("something secret was printed, or a Secret is empty")
		}
	}
}

func freePort(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	return port
}
