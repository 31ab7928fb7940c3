// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package environment

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/hack/controlplane"
	"github.com/stscredential/sts-credential-operator/hack/process"
	"github.com/stscredential/sts-credential-operator/test/fixture"
	"github.com/stscredential/sts-credential-operator/test/stsemulator"
)

// A namespace that is granted a role, which trusts the operator.
const (
	Namespace = "shop"
	Account   = "1234567890123456"
	RoleARN   = "acs:ram::" + Account + ":role/orders-reader"

	operator = "sts-operator"
)

// Options configure an environment.
type Options struct {
	// Root is the root of the repository.
	Root string
	// ScrapeInterval of Prometheus, in whole seconds.
	ScrapeInterval time.Duration
	// ManagerFlags are additional flags of the manager.
	ManagerFlags []string
}

// Environment has a control plane, an emulated STS, the operator, and a Prometheus that scrapes it as with a ServiceMonitor.
type Environment struct {
	Options
	client.Client
	Plane      *controlplane.ControlPlane
	STS        *stsemulator.Emulator
	Prometheus Prometheus

	dir     string
	key     stsemulator.AccessKey
	server  *httptest.Server // of STS
	metrics string           // host:port
}

// Start starts an environment. If it fails, it stops what was started.
func Start(ctx context.Context, options Options) (*Environment, error) {
	e := &Environment{Options: options}
	for _, do := range []func(context.Context) error{
		e.startPlane, e.install, e.startSTS, e.startManager, e.startPrometheus,
	} {
		if err := do(ctx); err != nil {
			return nil, errors.Join(err, e.Stop())
		}
	}
	return e, nil
}

// Stop stops the environment.
func (e *Environment) Stop() (err error) {
	if e.Plane != nil {
		err = e.Plane.Stop()
	}
	if e.server != nil {
		e.server.Close()
	}
	return errors.Join(err, os.RemoveAll(e.dir))
}

func (e *Environment) startPlane(ctx context.Context) (err error) {
	if e.Root, err = filepath.Abs(e.Root); err != nil {
		return err
	}
	if e.dir, err = os.MkdirTemp("", "monitoring-*"); err != nil {
		return err
	}
	if e.Plane, err = controlplane.Start(ctx, controlplane.Options{}); err != nil {
		return err
	}
	e.Client, err = fixture.NewClient(e.Plane.Config())
	return err
}

// install installs the CRDs and the rights of the operator and of Prometheus.
func (e *Environment) install(ctx context.Context) error {
	if err := e.Plane.InstallForOperator(ctx, e.Root); err != nil {
		return err
	}
	for _, args := range [][]string{
		{"create", "namespace", Namespace},
		{"create", "namespace", "monitoring"},
		{"-n", "monitoring", "create", "serviceaccount", "prometheus"},
		{"apply", "-f", "config/prometheus/metrics_reader.yaml"},
		{"create", "clusterrolebinding", "sts-credential-operator-metrics-reader", "--clusterrole=sts-credential-operator-metrics-reader", "--serviceaccount=monitoring:prometheus"},
	} {
		if err := e.Plane.Kubectl(ctx, e.Root, args...); err != nil {
			return err
		}
	}
	return e.Create(ctx, fixture.Grant(Namespace, "acs:ram::"+Account+":role/orders-*", Namespace))
}

// Command returns a command in the root of the repository, with a kubectl that has the rights of a cluster admin.
func (e *Environment) Command(ctx context.Context, program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = e.Root
	cmd.Env = append(os.Environ(), "KUBECONFIG="+e.Plane.Kubeconfig(), "KUBECACHEDIR="+filepath.Join(e.dir, "cache"),
		"PATH="+e.Plane.Assets()+string(os.PathListSeparator)+os.Getenv("PATH"))
	return cmd
}

func (e *Environment) startSTS(context.Context) error {
	e.STS = stsemulator.New(stsemulator.Options{})
	e.key = e.STS.AddUser(Account, operator)
	e.STS.AddRole(stsemulator.Role{ARN: RoleARN, Trust: []stsemulator.Statement{{RAM: []string{"acs:ram::" + Account + ":user/" + operator}}}})
	e.server = httptest.NewServer(e.STS)
	return nil
}

// startManager runs the operator with the rights of its ServiceAccount.
func (e *Environment) startManager(ctx context.Context) error {
	binary := filepath.Join(e.dir, "manager")
	if output, err := e.Command(ctx, "go", "build", "-o", binary, "./cmd/manager").CombinedOutput(); err != nil {
		return fmt.Errorf("build the operator: %w\n%s", err, output)
	}
	config, err := e.Plane.OperatorConfig()
	if err != nil {
		return err
	}
	path := filepath.Join(e.dir, "manager.kubeconfig")
	if err := controlplane.WriteKubeconfig(path, config); err != nil {
		return err
	}
	if e.metrics, err = process.FreeAddress(ctx); err != nil {
		return err
	}
	return e.Plane.Run(ctx, e.metricsAreProtected, "/usr/bin/env", append([]string{
		"KUBECONFIG=" + path, "ALIBABA_CLOUD_ACCESS_KEY_ID=" + e.key.ID, "ALIBABA_CLOUD_ACCESS_KEY_SECRET=" + e.key.Secret,
		binary, "--sts-endpoint=" + e.server.URL, "--leader-elect=false", "--metrics-bind-address=" + e.metrics, "--health-probe-bind-address=0",
	}, e.ManagerFlags...)...)
}

// metricsAreProtected returns an error until the metrics are served, and refused without a token.
func (e *Environment) metricsAreProtected(ctx context.Context) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+e.metrics+"/metrics", http.NoBody)
	if err != nil {
		return err
	}
	caller := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	response, err := caller.Do(request)
	if err != nil {
		return err
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusUnauthorized {
		return fmt.Errorf("the metrics answer %s to a request without a token", response.Status)
	}
	return nil
}

const prometheusConfig = `
global: {scrape_interval: %[1]s, evaluation_interval: %[1]s}
rule_files: [%[2]s]
scrape_configs:
  - job_name: sts-credential-operator
    scheme: https
    honor_labels: true
    tls_config: {insecure_skip_verify: true}
    authorization: {credentials_file: token}
    static_configs: [{targets: [%[3]s], labels: {namespace: sts-system}}]
`

func (e *Environment) startPrometheus(ctx context.Context) error {
	programs, err := Programs(ctx, e.Root)
	if err != nil {
		return err
	}
	token := &authenticationv1.TokenRequest{}
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "monitoring", Name: "prometheus"}}
	if err := e.SubResource("token").Create(ctx, account, token); err != nil {
		return err
	}
	config := fmt.Sprintf(prometheusConfig, inSeconds(e.ScrapeInterval), filepath.Join(e.Root, AlertsFile), e.metrics)
	file := filepath.Join(e.dir, "prometheus.yml")
	if err := errors.Join(
		os.WriteFile(filepath.Join(e.dir, "token"), []byte(token.Status.Token), 0o600),
		os.WriteFile(file, []byte(config), 0o600),
	); err != nil {
		return err
	}
	address, err := process.FreeAddress(ctx)
	if err != nil {
		return err
	}
	e.Prometheus = Prometheus("http://" + address)
	return e.Plane.Run(ctx, e.metricsAreScraped, filepath.Join(programs, "prometheus"),
		"--config.file="+file, "--storage.tsdb.path="+filepath.Join(e.dir, "prometheus"), "--web.listen-address="+address)
}

// metricsAreScraped returns an error until Prometheus has the operator's metrics.
func (e *Environment) metricsAreScraped(ctx context.Context) error {
	up, err := e.Prometheus.Query(ctx, "up == 1")
	if err == nil && len(up) == 0 {
		err = errors.New("Prometheus does not get the operator's metrics")
	}
	return err
}

// CreateCredential creates an StsCredential in Namespace.
func (e *Environment) CreateCredential(ctx context.Context, name, role string) error {
	return e.Create(ctx, &v1alpha1.StsCredential{
		ObjectMeta: metav1.ObjectMeta{Namespace: Namespace, Name: name}, Spec: v1alpha1.StsCredentialSpec{RoleARN: role},
	})
}
