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
	others    = "others" // the namespace of Secrets of other owners

	account  = "1234567890123456"
	roleName = "bench-reader"
	roleARN  = "acs:ram::" + account + ":role/" + roleName
)

// environment is a control plane with what the operator needs, and an emulated STS.
type environment struct {
	*bench
	plane       *controlplane.ControlPlane
	ownRequests ledger        // that the benchmark itself sends to the API server
	admin       client.Client // of a user who creates StsCredentials
	loopClient  client.Client // of the baseline, with the rights and the limit of the operator
	raw         *kubernetes.Clientset
	sts         *stsemulator.Emulator
	key         stsemulator.AccessKey
	server      *httptest.Server // of STS

	manager *manager
	starts  int
}

// build builds the manager, as `make build` does.
func (b *bench) build(ctx context.Context) error {
	b.log("build the manager")
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
func (b *bench) start(ctx context.Context) (env *environment, err error) {
	env = &environment{bench: b}
	for _, do := range []func(context.Context) error{env.startPlane, env.startClients, env.install, env.startSTS} {
		if err := do(ctx); err != nil {
			return nil, errors.Join(err, env.stop())
		}
	}
	return env, nil
}

// stop stops everything.
func (env *environment) stop() (err error) {
	if env.manager != nil {
		err = env.manager.stop()
	}
	if env.plane != nil {
		err = errors.Join(err, env.plane.Stop())
	}
	if env.server != nil {
		env.server.Close()
	}
	return err
}

func (env *environment) startPlane(ctx context.Context) (err error) {
	env.plane, err = controlplane.Start(ctx, controlplane.Options{
		// So that one request deletes all objects quickly between two measurements. No measurement deletes any.
		APIServerFlags: []string{"--delete-collection-workers=16", "--request-timeout=5m"},
	})
	return err
}

func (env *environment) startClients(context.Context) (err error) {
	env.ownRequests.counts = map[string]int{}
	admin := env.plane.Config()
	admin.Wrap(env.ownRequests.count)
	if env.raw, err = kubernetes.NewForConfig(admin); err != nil {
		return err
	}
	limited := rest.CopyConfig(admin)
	limited.QPS, limited.Burst = float32(env.qps), env.qps
	if env.admin, err = fixture.NewClient(limited); err != nil {
		return err
	}
	operator, err := env.plane.OperatorConfig()
	if err != nil {
		return err
	}
	operator.QPS, operator.Burst = float32(env.qps), env.qps
	operator.Wrap(env.ownRequests.count)
	env.loopClient, err = fixture.NewClient(operator)
	return err
}

// install installs what the operator needs, with the admission policies, and grants the role to the namespace.
func (env *environment) install(ctx context.Context) error {
	if err := env.plane.InstallForOperator(ctx, env.root); err != nil {
		return err
	}
	return errors.Join(
		env.admin.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}),
		env.admin.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: others}}),
		env.admin.Create(ctx, fixture.Grant(namespace, roleARN, namespace)),
	)
}

// startSTS starts the emulator in this process, so that its CPU time does not count as the manager's.
func (env *environment) startSTS(context.Context) error {
	env.sts = stsemulator.New(stsemulator.Options{})
	env.key = env.sts.AddUser(account, "sts-operator")
	env.sts.AddRole(stsemulator.Role{ARN: roleARN, Trust: []stsemulator.Statement{{RAM: []string{"acs:ram::" + account + ":root"}}}})
	env.lifetime(0)
	env.server = httptest.NewServer(env.sts)
	return nil
}

// lifetime sets the latency of STS, and the longest session that it issues; 0 is as long as requested.
func (env *environment) lifetime(granted time.Duration) {
	env.sts.Clear()
	env.sts.Inject(stsemulator.Fault{Kind: stsemulator.FaultLatency, Duration: env.latency})
	if granted > 0 {
		env.sts.Inject(stsemulator.Fault{Kind: stsemulator.FaultShortLifetime, Duration: granted})
	}
}

// clear deletes the credentials and their Secrets. The manager must not run.
func (env *environment) clear(ctx context.Context) error {
	env.sts.ForgetCalls()
	return errors.Join(
		env.admin.DeleteAllOf(ctx, &v1alpha1.StsCredential{}, client.InNamespace(namespace)),
		env.admin.DeleteAllOf(ctx, &corev1.Secret{}, client.InNamespace(namespace)),
	)
}
