// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package install tests what make and kustomize do to a cluster.
package install

import (
	"bytes"
	"context"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/go-logr/logr"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/hack/controlplane"
	"github.com/stscredential/sts-credential-operator/test/fixture"
	"github.com/stscredential/sts-credential-operator/test/stsemulator"
)

const (
	account  = "1234567890123456"
	role     = "acs:ram::" + account + ":role/orders-reader"
	operator = "system:serviceaccount:sts-system:sts-credential-operator"
)

var deployment = client.ObjectKey{Namespace: "sts-system", Name: "sts-credential-operator"}

// site is a cluster to install into, and a STS.
type site struct {
	*testing.T
	plane      *controlplane.ControlPlane
	api        client.Client
	kubeconfig string
	key        stsemulator.AccessKey
	sts        *httptest.Server
	manager    string
}

func newSite(t *testing.T) *site {
	t.Helper()
	emulator := stsemulator.New(stsemulator.Options{})
	s := &site{T: t, key: emulator.AddUser(account, "sts-operator"), sts: httptest.NewServer(emulator)}
	t.Cleanup(s.sts.Close)
	ctrllog.SetLogger(logr.Discard())
	emulator.AddRole(stsemulator.Role{ARN: role, Trust: []stsemulator.Statement{{RAM: []string{"acs:ram::" + account + ":user/sts-operator"}}}})

	var err error
	s.plane, err = controlplane.Start(context.Background(), controlplane.Options{})
	s.must(err)
	t.Cleanup(func() { _ = s.plane.Stop() })
	s.api, err = fixture.NewClient(s.plane.Config())
	s.must(err)
	s.kubeconfig = s.plane.Kubeconfig()
	s.manager = filepath.Join(t.TempDir(), "manager")
	s.run("go", "-C", "../..", "build", "-o", s.manager, "./cmd/manager")
	return s
}

func (s *site) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// run runs a program for the administrator of the cluster, and returns what it printed.
func (s *site) run(program string, arguments ...string) string {
	s.Helper()
	command := exec.CommandContext(s.Context(), program, arguments...)
	// What make set for this test is not for the make that it runs.
	command.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "MAKE") || strings.HasPrefix(v, "MFLAGS") })
	command.Env = append(command.Env, "KUBECONFIG="+s.kubeconfig)
	output, err := command.CombinedOutput()
	if err != nil {
		s.Fatalf("%s %s: %v\n%s", program, strings.Join(arguments, " "), err, output)
	}
	return string(output)
}

func (s *site) make(arguments ...string) string {
	s.Helper()
	return s.run("make", append([]string{"--no-print-directory", "-C", "../..", "KUBECTL=" + s.kubectl()}, arguments...)...)
}

func (s *site) kubectl() string { return filepath.Join(s.plane.Assets(), "kubectl") }

func (s *site) create(objects ...client.Object) {
	s.Helper()
	for _, o := range objects {
		s.must(s.api.Create(s.Context(), o))
	}
}

// exists tells whether the object is there, and reads it.
func (s *site) exists(key client.ObjectKey, o client.Object) bool {
	s.Helper()
	err := s.api.Get(s.Context(), key, o)
	s.must(client.IgnoreNotFound(err))
	return err == nil
}

// log is what a manager prints.
type log struct {
	mutex sync.Mutex
	text  bytes.Buffer
}

// Write keeps it.
func (l *log) Write(p []byte) (int, error) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	return l.text.Write(p)
}

func (l *log) String() string {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	return l.text.String()
}

// operate runs a manager as the Deployment in the cluster says, with the rights of its ServiceAccount and no others, until
// work is done, and returns what it printed.
func (s *site) operate(work func(eventually func(what string, done func() bool))) string {
	s.Helper()
	var deployed appsv1.Deployment
	s.must(s.api.Get(s.Context(), deployment, &deployed))
	config, err := s.plane.OperatorConfig()
	s.must(err)
	file := filepath.Join(s.TempDir(), "kubeconfig")
	s.must(controlplane.WriteKubeconfig(file, config))

	// The lease needs a pod's namespace.
	arguments := append(slices.Clone(deployed.Spec.Template.Spec.Containers[0].Args), "--leader-elect=false",
		"--sts-endpoint="+s.sts.URL, "--metrics-bind-address=0", "--health-probe-bind-address=0")
	manager := exec.CommandContext(s.Context(), s.manager, arguments...)
	manager.Env = append(os.Environ(), "KUBECONFIG="+file, "ALIBABA_CLOUD_ACCESS_KEY_ID="+s.key.ID, "ALIBABA_CLOUD_ACCESS_KEY_SECRET="+s.key.Secret)
	printed := &log{}
	manager.Stdout, manager.Stderr = printed, printed
	s.must(manager.Start())
	s.Cleanup(func() { _ = manager.Process.Kill() })
	work(func(what string, done func() bool) {
		s.Helper()
		err := wait.PollUntilContextTimeout(s.Context(), 20*time.Millisecond, time.Minute, true, func(context.Context) (bool, error) { return done(), nil })
		if err != nil {
			s.Fatalf("waited in vain: %s; the manager printed:\n%s", what, printed)
		}
	})
	s.must(manager.Process.Signal(syscall.SIGTERM))
	if err := manager.Wait(); err != nil {
		s.Errorf("the manager ended with %v:\n%s", err, printed)
	}
	return printed.String()
}

func credential(namespace, name string) *v1alpha1.StsCredential {
	return &v1alpha1.StsCredential{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec:       v1alpha1.StsCredentialSpec{RoleARN: role},
	}
}

// issued tells whether a StsCredential is Ready and has its Secret.
func (s *site) issued(c *v1alpha1.StsCredential) bool {
	s.Helper()
	s.must(s.api.Get(s.Context(), client.ObjectKeyFromObject(c), c))
	return meta.IsStatusConditionTrue(c.Status.Conditions, v1alpha1.ConditionReady) && s.exists(client.ObjectKeyFromObject(c), &corev1.Secret{})
}
