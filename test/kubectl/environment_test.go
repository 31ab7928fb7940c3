// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package kubectl tests the kubectl plugin as its users run it: the program, on a real API server, with the operator at work
// and an emulated STS.
package kubectl

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/hack/controlplane"
	"github.com/stscredential/sts-credential-operator/test/stsemulator"
)

const (
	account = "1234567890123456"
	role    = "acs:ram::" + account + ":role/orders-reader"
)

// cluster is what all tests share: a control plane with the operator, an emulated STS, and the plugin.
type cluster struct {
	plane    *controlplane.ControlPlane
	api      client.Client // of a cluster admin
	emulator *stsemulator.Emulator
	plugin   string
	dir      string
}

var shared *cluster

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	plane, err := controlplane.Start(ctx, controlplane.Options{ControllerManager: true})
	if err != nil {
		return 1, err
	}
	defer func() { _ = plane.Stop() }()
	dir, err := os.MkdirTemp("", "plugin-*")
	if err != nil {
		return 1, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	c := &cluster{plane: plane, dir: dir, plugin: filepath.Join(dir, "kubectl-stscred"), emulator: stsemulator.New(stsemulator.Options{})}
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return 1, err
	}
	if c.api, err = client.New(plane.Config(), client.Options{Scheme: scheme}); err != nil {
		return 1, err
	}
	server := httptest.NewServer(c.emulator)
	defer server.Close()
	stop, err := c.install(ctx, server.URL)
	if err != nil {
		return 1, err
	}
	defer stop()
	shared = c
	return m.Run(), nil
}

// overlay is the folder of the kustomization that installs the operator with restarts of workloads.
func (c *cluster) overlay() string { return filepath.Join(c.dir, "overlay") }

func (c *cluster) writeOverlay(root string) error {
	real, err := filepath.EvalSymlinks(c.dir)
	if err != nil {
		return err
	}
	config, err := filepath.Rel(filepath.Join(real, "overlay"), filepath.Join(root, "config"))
	if err != nil {
		return err
	}
	if err := os.Mkdir(c.overlay(), 0o700); err != nil {
		return err
	}
	document := fmt.Sprintf("resources: [%s/default]\ncomponents: [%s/components/rollouts]\n", config, config)
	return os.WriteFile(filepath.Join(c.overlay(), "kustomization.yaml"), []byte(document), 0o600)
}

// trustOf is the trust policy that lets RAM users assume a role.
func trustOf(users ...string) []stsemulator.Statement {
	var principals []string
	for _, user := range users {
		principals = append(principals, "acs:ram::"+account+":user/"+user)
	}
	return []stsemulator.Statement{{RAM: principals}}
}

// install builds the programs, installs the operator, and runs it until stop is called.
func (c *cluster) install(ctx context.Context, endpoint string) (stop func(), err error) {
	root, err := controlplane.RepositoryRoot()
	if err != nil {
		return nil, err
	}
	manager := filepath.Join(c.dir, "manager")
	if err := c.writeOverlay(root); err != nil {
		return nil, err
	}
	kubectl := filepath.Join(c.plane.Assets(), "kubectl")
	for _, words := range [][]string{
		{"go", "build", "-o", c.plugin, "./cmd/kubectl-stscred"},
		{"go", "build", "-o", manager, "./cmd/manager"},
		{kubectl, "--kubeconfig", c.plane.Kubeconfig(), "apply", "-k", c.overlay()},
		{kubectl, "--kubeconfig", c.plane.Kubeconfig(), "wait", "--for=condition=Established", "crd", "--all", "--timeout=60s"},
	} {
		step := exec.CommandContext(ctx, words[0], words[1:]...)
		step.Dir = root
		if output, err := step.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("%v: %w\n%s", words, err, output)
		}
	}
	operator, err := c.plane.OperatorConfig()
	if err != nil {
		return nil, err
	}
	kubeconfig := filepath.Join(c.dir, "operator.kubeconfig")
	if err := controlplane.WriteKubeconfig(kubeconfig, operator); err != nil {
		return nil, err
	}
	key := c.emulator.AddUser(account, "sts-operator")
	c.emulator.AddRole(stsemulator.Role{ARN: role, MaxSessionDuration: 12 * time.Hour, Trust: trustOf("sts-operator")})
	process := exec.Command(manager, "--sts-endpoint="+endpoint, "--rollouts", "--leader-elect=false", "--metrics-bind-address=0", "--health-probe-bind-address=0")
	process.Env = append(os.Environ(), "KUBECONFIG="+kubeconfig, "ALIBABA_CLOUD_ACCESS_KEY_ID="+key.ID, "ALIBABA_CLOUD_ACCESS_KEY_SECRET="+key.Secret)
	if err := process.Start(); err != nil {
		return nil, err
	}
	return func() {
		_ = process.Process.Signal(syscall.SIGTERM)
		_ = process.Wait()
	}, nil
}

// environment is what one test has for itself: a namespace that may assume the role.
type environment struct {
	*testing.T
	*cluster
	namespace string
}

func newEnvironment(t *testing.T) *environment {
	t.Helper()
	return environmentIn(t, "t"+strings.ToLower(strings.ReplaceAll(strings.ReplaceAll(t.Name(), "/", "-"), "_", "-")))
}

// environmentIn returns an environment with a namespace of this name.
func environmentIn(t *testing.T, namespace string) *environment {
	t.Helper()
	e := &environment{T: t, cluster: shared, namespace: namespace}
	e.create(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: e.namespace}})
	e.create(&v1alpha1.StsRoleGrant{ObjectMeta: metav1.ObjectMeta{Name: e.namespace}, Spec: v1alpha1.StsRoleGrantSpec{
		Namespaces: v1alpha1.GrantNamespaces{Names: []v1alpha1.NamespaceName{v1alpha1.NamespaceName(e.namespace)}},
		RoleARNs:   []v1alpha1.RoleARNPattern{v1alpha1.RoleARNPattern(role)},
	}})
	return e
}

func (e *environment) must(err error) {
	e.Helper()
	if err != nil {
		e.Fatal(err)
	}
}

func (e *environment) create(o client.Object) {
	e.Helper()
	e.must(e.api.Create(e.Context(), o))
	e.Cleanup(func() { _ = e.api.Delete(context.Background(), o) })
}

// credential creates an StsCredential and waits until the operator says that it is ready, unless its role does not exist.
func (e *environment) credential(name string, change ...func(*v1alpha1.StsCredential)) *v1alpha1.StsCredential {
	e.Helper()
	c := &v1alpha1.StsCredential{ObjectMeta: metav1.ObjectMeta{Namespace: e.namespace, Name: name}, Spec: v1alpha1.StsCredentialSpec{RoleARN: role}}
	for _, f := range change {
		f(c)
	}
	e.create(c)
	e.eventually("a condition of "+name, func() bool {
		e.must(e.api.Get(e.Context(), client.ObjectKeyFromObject(c), c))
		return len(c.Status.Conditions) > 0 && (c.Status.ExpiresAt != nil || c.Spec.RoleARN != role)
	})
	return c
}

func (e *environment) eventually(what string, done func() bool) {
	e.Helper()
	for deadline := time.Now().Add(30 * time.Second); !done(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			e.Fatal("timed out: " + what)
		}
	}
}

// result is what a run of the plugin printed, and its exit status.
type result struct {
	out, err string
	status   int
}

func (r result) String() string { return fmt.Sprintf("exit status %d\n%s%s", r.status, r.out, r.err) }

// run runs the plugin with a kubeconfig.
func (e *environment) run(kubeconfig string, arguments ...string) result {
	e.Helper()
	var out, errOut bytes.Buffer
	process := exec.CommandContext(e.Context(), e.plugin, arguments...)
	process.Env = []string{"KUBECONFIG=" + kubeconfig, "HOME=" + e.TempDir()}
	process.Stdout, process.Stderr = &out, &errOut
	err := process.Run()
	if exit := (&exec.ExitError{}); err != nil && !errors.As(err, &exit) {
		e.Fatal(err)
	}
	return result{out: out.String(), err: errOut.String(), status: process.ProcessState.ExitCode()}
}

// admin runs the plugin as a cluster admin in the namespace of the test.
func (e *environment) admin(arguments ...string) result {
	e.Helper()
	return e.run(e.plane.Kubeconfig(), append(arguments, "-n", e.namespace)...)
}

// grant is one right of a user.
type grant struct {
	verb, group, resource string
	everywhere            bool // not only in the namespace
}

// user returns the kubeconfig of a user with exactly these rights.
func (e *environment) user(name string, grants ...grant) string {
	e.Helper()
	var local, global []rbacv1.PolicyRule
	for _, g := range grants {
		rule := rbacv1.PolicyRule{Verbs: []string{g.verb}, APIGroups: []string{g.group}, Resources: []string{g.resource}}
		if g.everywhere {
			global = append(global, rule)
			continue
		}
		local = append(local, rule)
	}
	name = e.namespace + "-" + name
	subjects := []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: name}}
	meta := metav1.ObjectMeta{Name: name, Namespace: e.namespace}
	e.create(&rbacv1.Role{ObjectMeta: meta, Rules: local})
	e.create(&rbacv1.RoleBinding{ObjectMeta: meta, Subjects: subjects, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: name}})
	meta.Namespace = ""
	e.create(&rbacv1.ClusterRole{ObjectMeta: meta, Rules: global})
	e.create(&rbacv1.ClusterRoleBinding{ObjectMeta: meta, Subjects: subjects, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name}})
	config, err := e.plane.UserConfig(name)
	e.must(err)
	kubeconfig := filepath.Join(e.TempDir(), name)
	e.must(controlplane.WriteKubeconfig(kubeconfig, config))
	return kubeconfig
}

// wantAll requires that a text has all of the words.
func (e *environment) wantAll(text string, words ...string) {
	e.Helper()
	for _, word := range words {
		if !strings.Contains(text, word) {
			e.Errorf("%q is missing in:\n%s", word, text)
		}
	}
}
