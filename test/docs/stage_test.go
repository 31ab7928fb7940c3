// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"context"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stscredential/sts-credential-operator/hack/controlplane"
	"github.com/stscredential/sts-credential-operator/test/monitoring/environment"
	"github.com/stscredential/sts-credential-operator/test/stsemulator"
)

// stage is where pages are played: a control plane with what config/default installs, an emulated STS, and the manager
// as a process which has the rights of its ServiceAccount.
type stage struct {
	*testing.T
	root      string // of the repository
	shell     Shell
	emulator  *stsemulator.Emulator
	endpoint  string
	scratches string
}

func newStage(t *testing.T) *stage {
	t.Helper()
	plane, err := controlplane.Start(context.Background(), controlplane.Options{ControllerManager: true})
	must(t, err)
	t.Cleanup(func() { _ = plane.Stop() })
	dir := t.TempDir()
	prometheus, err := environment.Programs(t.Context(), repository(t))
	must(t, err)
	s := &stage{T: t, root: repository(t), emulator: stsemulator.New(stsemulator.Options{}), scratches: t.TempDir()}
	s.seed(plane.Config())
	server := httptest.NewServer(s.emulator)
	t.Cleanup(server.Close)
	s.endpoint = server.URL
	s.shell = Shell{Dir: s.root, Env: []string{
		"PATH=" + filepath.Dir(plugin(t)) + ":" + plane.Assets() + ":" + prometheus + ":" + os.Getenv("PATH"), "HOME=" + dir, "KUBECONFIG=" + plane.Kubeconfig(),
		// What a reader has exported: the operator's key, and one of a namespace.
		"ALIBABA_CLOUD_ACCESS_KEY_ID=" + operatorKey.ID, "ALIBABA_CLOUD_ACCESS_KEY_SECRET=" + operatorKey.Secret,
		"ACCESS_KEY_ID=" + tenantKey.ID, "ACCESS_KEY_SECRET=" + tenantKey.Secret,
	}}
	s.installCRDs()
	s.do("kubectl apply -k config/default")
	s.do("kubectl wait --for=condition=Established crd --all --timeout=60s")
	s.do("kubectl create namespace shop")
	operator, err := plane.OperatorConfig()
	must(t, err)
	kubeconfig := filepath.Join(dir, "operator.kubeconfig")
	must(t, controlplane.WriteKubeconfig(kubeconfig, operator))
	s.startManager(kubeconfig)
	return s
}

// installCRDs installs those of the Prometheus operator, which docs/monitoring.md wants in the cluster.
func (s *stage) installCRDs() {
	s.Helper()
	crds, err := environment.CRDs(s.Context())
	must(s, err)
	for _, kind := range []string{"servicemonitors", "podmonitors", "prometheusrules"} {
		s.do("kubectl create -f " + filepath.Join(crds, "monitoring.coreos.com_"+kind+".yaml"))
	}
}

// startManager builds the manager, and runs it until the test ends.
func (s *stage) startManager(kubeconfig string) {
	s.Helper()
	log, err := os.Create(filepath.Join(filepath.Dir(kubeconfig), "manager.log"))
	must(s, err)
	cmd := exec.Command(manager(s.T), "--sts-endpoint="+s.endpoint, "--service-account-identity", "--leader-elect=false",
		"--metrics-bind-address=0", "--health-probe-bind-address=0", "--zap-encoder=console")
	cmd.Env = append(s.shell.Env, "KUBECONFIG="+kubeconfig)
	cmd.Stdout, cmd.Stderr = log, log
	must(s, cmd.Start())
	s.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		err := cmd.Wait()
		if s.Failed() || err != nil {
			printed, _ := os.ReadFile(log.Name())
			s.Logf("the manager ended (%v); its log:\n%s", err, printed)
		}
	})
}

// play runs what the page says is run here, in an empty folder beside the repository's, and leaves nothing behind.
func (s *stage) play(t *testing.T, page *Page) {
	shell := s.shell
	shell.Dir = s.scratch(page)
	must(t, page.Play(t.Context(), shell, onCluster))
}

// scratch is a folder that looks like the repository's root, and takes the page's files.
func (s *stage) scratch(page *Page) string {
	dir := filepath.Join(s.scratches, strings.ReplaceAll(page.Path, "/", "_"))
	must(s, os.Mkdir(dir, 0o700))
	must(s, Scratch(s.root, dir))
	return dir
}

// clear removes what a page may have made.
func (s *stage) clear() {
	s.Helper()
	s.do("kubectl delete stsrolegrants --all")
	s.do("kubectl -n shop delete stscredentials,secrets,resourcequotas,deployments,statefulsets,daemonsets,jobs,pods,roles,rolebindings --all --grace-period=0")
	s.do("kubectl -n sts-system delete secrets --all")
}

func (s *stage) do(command string) {
	s.Helper()
	if output, err := s.shell.bash(s.Context(), command, ""); err != nil {
		s.Fatalf("%s: %v\n%s", command, err, output)
	}
}

// programs is the folder of the programs that are built once.
var programs string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "docs-*")
	if err != nil {
		panic(err)
	}
	programs = dir
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// manager builds the manager, once.
func manager(t *testing.T) string {
	t.Helper()
	return build(t, "manager", "./cmd/manager")
}

// plugin builds the kubectl plugin, once. kubectl finds it in the PATH by its name.
func plugin(t *testing.T) string {
	t.Helper()
	return build(t, "kubectl-stscred", "./cmd/kubectl-stscred")
}

func build(t *testing.T, name, folder string) string {
	t.Helper()
	binary := filepath.Join(programs, name)
	if _, err := os.Stat(binary); err == nil {
		return binary
	}
	build := exec.CommandContext(t.Context(), "go", "build", "-o", binary, folder)
	build.Dir = repository(t)
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	return binary
}

func repository(t *testing.T) string {
	t.Helper()
	root, err := filepath.Abs(filepath.Join("..", ".."))
	must(t, err)
	return root
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
