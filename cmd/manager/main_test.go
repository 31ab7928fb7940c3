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

// site is a cluster and a STS for managers that run as processes of their own.
type site struct {
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

// Write keeps what the managers print.
func (s *site) Write(p []byte) (int, error) {
	s.outputLock.Lock()
	defer s.outputLock.Unlock()
	return s.output.Write(p)
}

func (s *site) printed() string {
	s.outputLock.Lock()
	defer s.outputLock.Unlock()
	return s.output.String()
}

func (s *site) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{T: t, emulator: stsemulator.New(stsemulator.Options{})}
	s.key = s.emulator.AddUser(account, "sts-operator")
	s.emulator.AddRole(stsemulator.Role{ARN: role, Trust: []stsemulator.Statement{{RAM: []string{"acs:ram::" + account + ":user/sts-operator"}}}})
	s.server = httptest.NewServer(s.emulator)
	t.Cleanup(s.server.Close)

	plane, err := controlplane.Start(context.Background(), controlplane.Options{})
	s.must(err)
	t.Cleanup(func() { _ = plane.Stop() })
	_, err = envtest.InstallCRDs(plane.Config(), envtest.CRDInstallOptions{Paths: []string{filepath.Join("..", "..", "config", "crd")}})
	s.must(err)
	scheme := runtime.NewScheme()
	s.must(errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)))
	s.api, err = client.New(plane.Config(), client.Options{Scheme: scheme})
	s.must(err)
	s.kubeconfig = plane.Kubeconfig()

	s.binary = filepath.Join(t.TempDir(), "manager")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-ldflags", "-X main.version=v9.9.9", "-o", s.binary, ".").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return s
}

// start runs a manager with one worker, so that at most one call is under way when it is killed.
func (s *site) start(flags ...string) *exec.Cmd {
	s.Helper()
	manager := exec.CommandContext(s.Context(), s.binary, append([]string{"--sts-endpoint=" + s.server.URL, "--leader-elect=false",
		"--health-probe-bind-address=0", "--metrics-bind-address=0", "--max-concurrent-reconciles=1"}, flags...)...)
	manager.Env = append(os.Environ(), "KUBECONFIG="+s.kubeconfig,
		"ALIBABA_CLOUD_ACCESS_KEY_ID="+s.key.ID, "ALIBABA_CLOUD_ACCESS_KEY_SECRET="+s.key.Secret)
	manager.Stdout, manager.Stderr = s, s
	s.must(manager.Start())
	s.Cleanup(func() { _ = manager.Process.Kill() })
	return manager
}

func (s *site) calls() int {
	n := 0
	for _, c := range s.emulator.Calls() {
		if c.Action == "AssumeRole" {
			n++
		}
	}
	return n
}

func (s *site) eventually(what string, done func() bool) {
	s.Helper()
	err := wait.PollUntilContextTimeout(s.Context(), 5*time.Millisecond, time.Minute, true, func(context.Context) (bool, error) { return done(), nil })
	if err != nil {
		s.Fatalf("waited in vain: %s; the manager printed:\n%s", what, s.printed())
	}
}

// ready counts the StsCredentials that are Ready and whose Secret holds what their status says.
func (s *site) ready() int {
	s.Helper()
	var credentials v1alpha1.StsCredentialList
	s.must(s.api.List(s.Context(), &credentials))
	n := 0
	for _, c := range credentials.Items {
		held := &corev1.Secret{}
		if meta.IsStatusConditionTrue(c.Status.Conditions, v1alpha1.ConditionReady) &&
			s.api.Get(s.Context(), client.ObjectKey{Namespace: c.Namespace, Name: c.SecretName()}, held) == nil &&
			string(held.Data[secret.KeyAccessKeyID]) == c.Status.AccessKeyID {
			n++
		}
	}
	return n
}

// kill -9 at any moment loses nothing: what was issued is kept, what was not is finished, and a restart asks STS for
// nothing that is good.
func TestKilledAndRestarted(t *testing.T) {
	s := newSite(t)
	s.must(s.api.Create(t.Context(), &v1alpha1.StsRoleGrant{ObjectMeta: metav1.ObjectMeta{Name: "default"}, Spec: v1alpha1.StsRoleGrantSpec{
		Namespaces: v1alpha1.GrantNamespaces{Names: []v1alpha1.NamespaceName{"default"}}, RoleARNs: []v1alpha1.RoleARNPattern{role},
	}}))
	const credentials, kills = 40, 8
	for i := range credentials {
		s.must(s.api.Create(t.Context(), &v1alpha1.StsCredential{
			ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: fmt.Sprint("orders-", i)},
			Spec:       v1alpha1.StsCredentialSpec{RoleARN: role},
		}))
	}
	for i := range kills {
		manager := s.start()
		s.eventually("calls are made", func() bool { return s.calls() >= (i+1)*credentials/(kills+2) })
		s.must(manager.Process.Kill())
		_ = manager.Wait()
	}
	manager := s.start()
	s.eventually("all are ready", func() bool { return s.ready() == credentials })
	calls := s.calls()
	if calls > credentials+kills {
		t.Errorf("%d calls for %d credentials and %d kills with one worker", calls, credentials, kills)
	}
	s.stop(manager)

	address := "127.0.0.1:" + freePort(t)
	again := s.start("--metrics-bind-address="+address, "--metrics-secure=false")
	s.eventually("the manager has looked at all", func() bool { return s.passes("http://"+address+"/metrics") >= credentials })
	if got := s.calls(); got != calls || s.ready() != credentials {
		t.Errorf("the restart made %d calls, and %d of %d are ready", got-calls, s.ready(), credentials)
	}
	s.stop(again)
	s.wantSilent()
	for _, want := range []string{`"arn": "acs:ram::` + account + `:user/sts-operator"`, `"endpoint": "` + s.server.URL + `"`, "audit"} {
		if !strings.Contains(strings.ReplaceAll(s.printed(), `":"`, `": "`), want) {
			t.Errorf("the log lacks %s", want)
		}
	}
	if agent := s.emulator.Calls()[0].UserAgent; !strings.Contains(agent, "sts-credential-operator/v9.9.9") {
		t.Errorf("user agent %q", agent)
	}
}

// stop ends a manager as the kubelet does, and insists that it goes in peace.
func (s *site) stop(manager *exec.Cmd) {
	s.Helper()
	s.must(manager.Process.Signal(syscall.SIGTERM))
	if err := manager.Wait(); err != nil {
		s.Errorf("the manager ended with %v:\n%s", err, s.printed())
	}
}

// get reads a URL with a token, if there is one, and whatever its certificate; status 0 if nobody answers.
func (s *site) get(url, token string) (status int, body string) {
	s.Helper()
	caller := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	request, err := http.NewRequestWithContext(s.Context(), http.MethodGet, url, nil)
	s.must(err)
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := caller.Do(request)
	if err != nil {
		return 0, ""
	}
	defer func() { _ = response.Body.Close() }()
	content, err := io.ReadAll(response.Body)
	s.must(err)
	return response.StatusCode, string(content)
}

// passes counts the passes that a manager's metrics tell of.
func (s *site) passes(url string) (n int) {
	s.Helper()
	_, body := s.get(url, "")
	for line := range strings.Lines(body) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "} "); ok && strings.HasPrefix(name, "controller_runtime_reconcile_total{") {
			count, err := strconv.Atoi(value)
			s.must(err)
			n += count
		}
	}
	return n
}

// wantSilent insists that nothing secret was printed.
func (s *site) wantSilent() {
	s.Helper()
	hidden := []string{s.key.Secret}
	var secrets corev1.SecretList
	s.must(s.api.List(s.Context(), &secrets, client.HasLabels{secret.UIDLabel}))
	for _, held := range secrets.Items {
		hidden = append(hidden, string(held.Data[secret.KeyAccessKeySecret]), string(held.Data[secret.KeySecurityToken]))
	}
	for _, h := range hidden {
		if h == "" || strings.Contains(s.printed(), h) {
			s.Fatal("something secret was printed, or a Secret is empty")
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
