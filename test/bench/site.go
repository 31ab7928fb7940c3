// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/hack/controlplane"
	"github.com/stscredential/sts-credential-operator/test/fixture"
	"github.com/stscredential/sts-credential-operator/test/stsemulator"
)

const (
	namespace = "bench"
	others    = "others" // the namespace of Secrets that are nobody's here

	account  = "1234567890123456"
	roleName = "bench-reader"
	roleARN  = "acs:ram::" + account + ":role/" + roleName
)

// site is a control plane with what the operator needs, and an emulated STS.
type site struct {
	*bench
	plane  *controlplane.ControlPlane
	own    ledger        // of what the bench itself asks the API server
	admin  client.Client // a user's: creates StsCredentials
	peer   client.Client // the floor's: with the rights and the limit of the operator
	raw    *kubernetes.Clientset
	sts    *stsemulator.Emulator
	key    stsemulator.AccessKey
	server *httptest.Server // of STS

	manager *manager
	starts  int
}

// build makes the manager's binary, as `make build` does.
func (b *bench) build(ctx context.Context) error {
	b.say("build the manager")
	arguments := []string{"build", "-trimpath", "-ldflags", "-s -w", "-o", b.binary()}
	if b.profiles != "" {
		arguments = []string{"build", "-trimpath", "-tags", "pprof", "-o", b.binary()}
	}
	cmd := exec.CommandContext(ctx, "go", append(arguments, "./cmd/manager")...)
	cmd.Dir, cmd.Env = b.root, append(os.Environ(), "CGO_ENABLED=0")
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build the manager: %w\n%s", err, output)
	}
	return nil
}

func (b *bench) binary() string { return filepath.Join(b.dir, "manager") }

// start starts all but the manager.
func (b *bench) start(ctx context.Context) (s *site, err error) {
	s = &site{bench: b}
	for _, do := range []func(context.Context) error{s.startPlane, s.startClients, s.install, s.startSTS} {
		if err := do(ctx); err != nil {
			return nil, errors.Join(err, s.stop())
		}
	}
	return s, nil
}

// stop ends all of it.
func (s *site) stop() (err error) {
	if s.manager != nil {
		err = s.manager.stop()
	}
	if s.plane != nil {
		err = errors.Join(err, s.plane.Stop())
	}
	if s.server != nil {
		s.server.Close()
	}
	return err
}

func (s *site) startPlane(ctx context.Context) (err error) {
	s.plane, err = controlplane.Start(ctx, controlplane.Options{
		// To have it emptied sooner, and in one request, between two measurements, in which nothing is deleted.
		APIServerFlags: []string{"--delete-collection-workers=16", "--request-timeout=5m"},
	})
	return err
}

func (s *site) startClients(context.Context) (err error) {
	s.own.counts = map[string]int{}
	admin := s.plane.Config()
	admin.Wrap(s.own.count)
	if s.raw, err = kubernetes.NewForConfig(admin); err != nil {
		return err
	}
	limited := rest.CopyConfig(admin)
	limited.QPS, limited.Burst = float32(s.qps), s.qps
	if s.admin, err = fixture.NewClient(limited); err != nil {
		return err
	}
	operator, err := s.plane.OperatorConfig()
	if err != nil {
		return err
	}
	operator.QPS, operator.Burst = float32(s.qps), s.qps
	operator.Wrap(s.own.count)
	s.peer, err = fixture.NewClient(operator)
	return err
}

// install gives the operator what an installation gives it, admission policies included, and a role to the namespace.
func (s *site) install(ctx context.Context) error {
	if err := s.plane.InstallForOperator(ctx, s.root); err != nil {
		return err
	}
	return errors.Join(
		s.admin.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}),
		s.admin.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: others}}),
		s.admin.Create(ctx, fixture.Grant(namespace, roleARN, namespace)),
	)
}

// startSTS starts the emulator in this process: its work is not the manager's.
func (s *site) startSTS(context.Context) error {
	s.sts = stsemulator.New(stsemulator.Options{})
	s.key = s.sts.AddUser(account, "sts-operator")
	s.sts.AddRole(stsemulator.Role{ARN: roleARN, Trust: []stsemulator.Statement{{RAM: []string{"acs:ram::" + account + ":root"}}}})
	s.lifetime(0)
	s.server = httptest.NewServer(s.sts)
	return nil
}

// lifetime has STS answer after its latency and grant no more than so long; 0 is as long as is asked for.
func (s *site) lifetime(granted time.Duration) {
	s.sts.Clear()
	s.sts.Inject(stsemulator.Fault{Kind: stsemulator.FaultLatency, Duration: s.latency})
	if granted > 0 {
		s.sts.Inject(stsemulator.Fault{Kind: stsemulator.FaultShortLifetime, Duration: granted})
	}
}

// clear deletes the credentials and their Secrets. The manager must not be at work.
func (s *site) clear(ctx context.Context) error {
	s.sts.ForgetCalls()
	return errors.Join(
		s.admin.DeleteAllOf(ctx, &v1alpha1.StsCredential{}, client.InNamespace(namespace)),
		s.admin.DeleteAllOf(ctx, &corev1.Secret{}, client.InNamespace(namespace)),
	)
}
