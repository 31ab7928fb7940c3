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

// What the site knows from the start: a namespace that is granted a role which trusts the operator.
const (
	Namespace = "shop"
	Account   = "1234567890123456"
	RoleARN   = "acs:ram::" + Account + ":role/orders-reader"

	operator = "sts-operator"
)

// Options say what the site is like.
type Options struct {
	// Root is the repository's.
	Root string
	// ScrapeInterval of Prometheus, in whole seconds.
	ScrapeInterval time.Duration
	// ManagerFlags are added to those that the site needs.
	ManagerFlags []string
}

// Site is a control plane, an emulated STS, the operator, and a Prometheus that scrapes it as a ServiceMonitor would have it.
type Site struct {
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

// Start starts it all. What was started ends with Stop, also if that failed halfway.
func Start(ctx context.Context, options Options) (*Site, error) {
	s := &Site{Options: options}
	for _, do := range []func(context.Context) error{
		s.startPlane, s.install, s.startSTS, s.startManager, s.startPrometheus,
	} {
		if err := do(ctx); err != nil {
			return nil, errors.Join(err, s.Stop())
		}
	}
	return s, nil
}

// Stop ends it all.
func (s *Site) Stop() (err error) {
	if s.Plane != nil {
		err = s.Plane.Stop()
	}
	if s.server != nil {
		s.server.Close()
	}
	return errors.Join(err, os.RemoveAll(s.dir))
}

func (s *Site) startPlane(ctx context.Context) (err error) {
	if s.Root, err = filepath.Abs(s.Root); err != nil {
		return err
	}
	if s.dir, err = os.MkdirTemp("", "monitoring-*"); err != nil {
		return err
	}
	if s.Plane, err = controlplane.Start(ctx, controlplane.Options{}); err != nil {
		return err
	}
	s.Client, err = fixture.NewClient(s.Plane.Config())
	return err
}

// install gives the operator and Prometheus the rights that an installation gives them.
func (s *Site) install(ctx context.Context) error {
	if err := s.Plane.InstallForOperator(ctx, s.Root); err != nil {
		return err
	}
	for _, args := range [][]string{
		{"create", "namespace", Namespace},
		{"create", "namespace", "monitoring"},
		{"-n", "monitoring", "create", "serviceaccount", "prometheus"},
		{"apply", "-f", "config/prometheus/metrics_reader.yaml"},
		{"create", "clusterrolebinding", "sts-credential-operator-metrics-reader", "--clusterrole=sts-credential-operator-metrics-reader", "--serviceaccount=monitoring:prometheus"},
	} {
		if err := s.Plane.Kubectl(ctx, s.Root, args...); err != nil {
			return err
		}
	}
	return s.Create(ctx, fixture.Grant(Namespace, "acs:ram::"+Account+":role/orders-*", Namespace))
}

// Command is one in the repository's root, whose kubectl is the cluster's admin.
func (s *Site) Command(ctx context.Context, program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = s.Root
	cmd.Env = append(os.Environ(), "KUBECONFIG="+s.Plane.Kubeconfig(), "KUBECACHEDIR="+filepath.Join(s.dir, "cache"),
		"PATH="+s.Plane.Assets()+string(os.PathListSeparator)+os.Getenv("PATH"))
	return cmd
}

func (s *Site) startSTS(context.Context) error {
	s.STS = stsemulator.New(stsemulator.Options{})
	s.key = s.STS.AddUser(Account, operator)
	s.STS.AddRole(stsemulator.Role{ARN: RoleARN, Trust: []stsemulator.Statement{{RAM: []string{"acs:ram::" + Account + ":user/" + operator}}}})
	s.server = httptest.NewServer(s.STS)
	return nil
}

// startManager runs the operator with the rights of its ServiceAccount.
func (s *Site) startManager(ctx context.Context) error {
	binary := filepath.Join(s.dir, "manager")
	if output, err := s.Command(ctx, "go", "build", "-o", binary, "./cmd/manager").CombinedOutput(); err != nil {
		return fmt.Errorf("build the operator: %w\n%s", err, output)
	}
	config, err := s.Plane.OperatorConfig()
	if err != nil {
		return err
	}
	path := filepath.Join(s.dir, "manager.kubeconfig")
	if err := controlplane.WriteKubeconfig(path, config); err != nil {
		return err
	}
	if s.metrics, err = process.FreeAddress(ctx); err != nil {
		return err
	}
	return s.Plane.Run(ctx, s.guarded, "/usr/bin/env", append([]string{
		"KUBECONFIG=" + path, "ALIBABA_CLOUD_ACCESS_KEY_ID=" + s.key.ID, "ALIBABA_CLOUD_ACCESS_KEY_SECRET=" + s.key.Secret,
		binary, "--sts-endpoint=" + s.server.URL, "--leader-elect=false", "--metrics-bind-address=" + s.metrics, "--health-probe-bind-address=0",
	}, s.ManagerFlags...)...)
}

// guarded tells whether the metrics are served, and not to anybody.
func (s *Site) guarded(ctx context.Context) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+s.metrics+"/metrics", http.NoBody)
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
		return fmt.Errorf("the metrics answer %s to a stranger", response.Status)
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

func (s *Site) startPrometheus(ctx context.Context) error {
	programs, err := Programs(ctx, s.Root)
	if err != nil {
		return err
	}
	token := &authenticationv1.TokenRequest{}
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "monitoring", Name: "prometheus"}}
	if err := s.SubResource("token").Create(ctx, account, token); err != nil {
		return err
	}
	config := fmt.Sprintf(prometheusConfig, inSeconds(s.ScrapeInterval), filepath.Join(s.Root, AlertsFile), s.metrics)
	file := filepath.Join(s.dir, "prometheus.yml")
	if err := errors.Join(
		os.WriteFile(filepath.Join(s.dir, "token"), []byte(token.Status.Token), 0o600),
		os.WriteFile(file, []byte(config), 0o600),
	); err != nil {
		return err
	}
	address, err := process.FreeAddress(ctx)
	if err != nil {
		return err
	}
	s.Prometheus = Prometheus("http://" + address)
	return s.Plane.Run(ctx, s.scraped, filepath.Join(programs, "prometheus"),
		"--config.file="+file, "--storage.tsdb.path="+filepath.Join(s.dir, "prometheus"), "--web.listen-address="+address)
}

// scraped tells whether Prometheus gets the operator's metrics.
func (s *Site) scraped(ctx context.Context) error {
	up, err := s.Prometheus.Query(ctx, "up == 1")
	if err == nil && len(up) == 0 {
		err = errors.New("Prometheus does not get the operator's metrics")
	}
	return err
}

// Ask creates a StsCredential in the site's namespace.
func (s *Site) Ask(ctx context.Context, name, role string) error {
	return s.Create(ctx, &v1alpha1.StsCredential{
		ObjectMeta: metav1.ObjectMeta{Namespace: Namespace, Name: name}, Spec: v1alpha1.StsCredentialSpec{RoleARN: role},
	})
}
