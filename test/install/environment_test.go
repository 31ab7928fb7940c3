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

// environment is a cluster to install into, and an STS.
type environment struct {
	*testing.T
	plane      *controlplane.ControlPlane
	api        client.Client
	kubeconfig string
	key        stsemulator.AccessKey
	sts        *httptest.Server
	manager    string
}

func newEnvironment(t *testing.T) *environment {
	t.Helper()
	emulator := stsemulator.New(stsemulator.Options{})
	env := &environment{T: t, key: emulator.AddUser(account, "sts-operator"), sts: httptest.NewServer(emulator)}
	t.Cleanup(env.sts.Close)
	ctrllog.SetLogger(logr.Discard())
	emulator.AddRole(stsemulator.Role{ARN: role, Trust: []stsemulator.Statement{{RAM: []string{"acs:ram::" + account + ":user/sts-operator"}}}})

	var err error
	env.plane, err = controlplane.Start(context.Background(), controlplane.Options{})
	env.must(err)
	t.Cleanup(func() { _ = env.plane.Stop() })
	env.api, err = fixture.NewClient(env.plane.Config())
	env.must(err)
	env.kubeconfig = env.plane.Kubeconfig()
	env.manager = filepath.Join(t.TempDir(), "manager")
	env.run("go", "-C", "../..", "build", "-o", env.manager, "./cmd/manager")
	return env
}

func (env *environment) must(err error) {
	env.Helper()
	if err != nil {
		env.Fatal(err)
	}
}

// run runs a program for the administrator of the cluster, and returns what it printed.
func (env *environment) run(program string, arguments ...string) string {
	env.Helper()
	command := exec.CommandContext(env.Context(), program, arguments...)
	// The variables that make set for this test must not reach the make that it runs.
	command.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "MAKE") || strings.HasPrefix(v, "MFLAGS") })
	command.Env = append(command.Env, "KUBECONFIG="+env.kubeconfig)
	output, err := command.CombinedOutput()
	if err != nil {
		env.Fatalf("%s %s: %v\n%s", program, strings.Join(arguments, " "), err, output)
	}
	return string(output)
}

func (env *environment) make(arguments ...string) string {
	env.Helper()
	return env.run("make", append([]string{"--no-print-directory", "-C", "../..", "KUBECTL=" + env.kubectl()}, arguments...)...)
}

func (env *environment) kubectl() string { return filepath.Join(env.plane.Assets(), "kubectl") }

func (env *environment) create(objects ...client.Object) {
	env.Helper()
	for _, o := range objects {
		env.must(env.api.Create(env.Context(), o))
	}
}

// exists reports whether an object exists, and reads it.
func (env *environment) exists(key client.ObjectKey, o client.Object) bool {
	env.Helper()
	err := env.api.Get(env.Context(), key, o)
	env.must(client.IgnoreNotFound(err))
	return err == nil
}

// log collects the output of a manager.
type log struct {
	mutex sync.Mutex
	text  bytes.Buffer
}

// Write appends to the log.
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

// operate runs a manager with the arguments of the Deployment in the cluster and the rights of its ServiceAccount, until work is done.
// It returns the manager's output.
func (env *environment) operate(work func(eventually func(what string, done func() bool))) string {
	env.Helper()
	var deployed appsv1.Deployment
	env.must(env.api.Get(env.Context(), deployment, &deployed))
	config, err := env.plane.OperatorConfig()
	env.must(err)
	file := filepath.Join(env.TempDir(), "kubeconfig")
	env.must(controlplane.WriteKubeconfig(file, config))

	// The lease needs a pod's namespace.
	arguments := append(slices.Clone(deployed.Spec.Template.Spec.Containers[0].Args), "--leader-elect=false",
		"--sts-endpoint="+env.sts.URL, "--metrics-bind-address=0", "--health-probe-bind-address=0")
	manager := exec.CommandContext(env.Context(), env.manager, arguments...)
	manager.Env = append(os.Environ(), "KUBECONFIG="+file, "ALIBABA_CLOUD_ACCESS_KEY_ID="+env.key.ID, "ALIBABA_CLOUD_ACCESS_KEY_SECRET="+env.key.Secret)
	printed := &log{}
	manager.Stdout, manager.Stderr = printed, printed
	env.must(manager.Start())
	env.Cleanup(func() { _ = manager.Process.Kill() })
	work(func(what string, done func() bool) {
		env.Helper()
		err := wait.PollUntilContextTimeout(env.Context(), 20*time.Millisecond, time.Minute, true, func(context.Context) (bool, error) { return done(), nil })
		if err != nil {
			env.Fatalf("not in time: %s; the manager printed:\n%s", what, printed)
		}
	})
	env.must(manager.Process.Signal(syscall.SIGTERM))
	if err := manager.Wait(); err != nil {
		env.Errorf("the manager ended with %v:\n%s", err, printed)
	}
	return printed.String()
}

func credential(namespace, name string) *v1alpha1.StsCredential {
	return &v1alpha1.StsCredential{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec:       v1alpha1.StsCredentialSpec{RoleARN: role},
	}
}

// issued reports whether an StsCredential is Ready and has its Secret.
func (env *environment) issued(c *v1alpha1.StsCredential) bool {
	env.Helper()
	env.must(env.api.Get(env.Context(), client.ObjectKeyFromObject(c), c))
	return meta.IsStatusConditionTrue(c.Status.Conditions, v1alpha1.ConditionReady) && env.exists(client.ObjectKeyFromObject(c), &corev1.Secret{})
}
