// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command demo shows the operator at work on this machine: on a real control plane, with an emulated STS, as a user would
// drive it. It checks each step, so it also serves as a test: with --once it ends after the last step, with status 0 only if
// all steps succeeded.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/term"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/hack/controlplane"
	"github.com/stscredential/sts-credential-operator/hack/process"
	"github.com/stscredential/sts-credential-operator/internal/credentials"
	"github.com/stscredential/sts-credential-operator/internal/sts"
	"github.com/stscredential/sts-credential-operator/test/stsemulator"
)

// demo is one run.
type demo struct {
	root     string // of the repository
	dir      string // temporary, with the logs
	plane    *controlplane.ControlPlane
	kube     client.Client
	sts      *stsemulator.Emulator
	endpoint string // URL of the emulated STS
	admin    string // URL of its admin endpoint
	agent    string // URL of the agent
	client   *sts.Client
	used     map[string]credentials.Credentials // by StsCredential
}

func main() {
	once := flag.Bool("once", false, "End after the last step, with status 0 only if all steps succeeded.")
	flag.Parse()
	ctrl.SetLogger(logr.Discard())
	// SIGPIPE too: what was started must not outlive the reader of the output.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)
	err := run(ctx, *once)
	stop()
	if err != nil {
		say(red, "  ✗ %v", err)
		os.Exit(1)
	}
}

// run starts everything, goes through the steps, and stops what it started.
func run(ctx context.Context, once bool) (err error) {
	began := time.Now()
	d := &demo{used: map[string]credentials.Credentials{}}
	if d.root, err = controlplane.RepositoryRoot(); err != nil {
		return err
	}
	if d.dir, err = os.MkdirTemp("", "sts-demo-*"); err != nil {
		return err
	}
	say(bold, "\nGetting ready")
	defer func() {
		say(bold, "\nCleaning up")
		if d.plane != nil {
			if stopErr := d.plane.Stop(); err == nil {
				err = stopErr
			}
		}
		if err != nil && ctx.Err() == nil {
			say(dim, "  the logs stay in %s", d.dir)
			return
		}
		_ = os.RemoveAll(d.dir)
		say(dim, "  nothing is left running; %s in all", time.Since(began).Round(time.Second))
	}()
	if err := d.start(ctx); err != nil {
		return err
	}
	if err := d.walk(ctx); err != nil || once {
		return err
	}
	d.explain()
	<-ctx.Done()
	return nil
}

// start starts a control plane, an emulated STS and the operator.
func (d *demo) start(ctx context.Context) (err error) {
	say(dim, "  starting a control plane; the first time its programs are fetched or built, which takes minutes")
	options := controlplane.Options{Dir: d.dir, ControllerManager: true,
		// As on OpenShift: who sets an owner that blocks its deletion needs the right to the owner's finalizers.
		APIServerFlags: []string{"--enable-admission-plugins=OwnerReferencesPermissionEnforcement"}}
	if d.plane, err = controlplane.Start(ctx, options); err != nil {
		return err
	}
	if err := d.plane.InstallForOperator(ctx, d.root); err != nil {
		return err
	}
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return err
	}
	if d.kube, err = client.New(d.plane.Config(), client.Options{Scheme: scheme}); err != nil {
		return err
	}
	say(green, "  ✓ a control plane at %s, with the operator's CRDs, rights and admission policies", d.plane.Config().Host)

	d.sts = stsemulator.New(stsemulator.Options{})
	key := d.sts.AddUser(account, "sts-operator")
	if err := d.trust(operatorARN)(ctx); err != nil {
		return err
	}
	d.endpoint, d.admin = httptest.NewServer(d.sts).URL, httptest.NewServer(d.sts.Admin()).URL
	if d.client, err = sts.New(sts.Options{Endpoint: d.endpoint, Clock: clock.RealClock{}}); err != nil {
		return err
	}
	say(green, "  ✓ an emulated STS at %s, where %s trusts %s", d.endpoint, readerARN, operatorARN)
	return d.startManager(ctx, key)
}

// startManager builds the operator and runs it as a process of its own, with the rights of its ServiceAccount.
func (d *demo) startManager(ctx context.Context, key stsemulator.AccessKey) error {
	binary, err := d.build(ctx, "manager", "./cmd/manager")
	if err != nil {
		return err
	}
	config, err := d.plane.OperatorConfig()
	if err != nil {
		return err
	}
	kubeconfig := filepath.Join(d.dir, "manager.kubeconfig")
	if err := controlplane.WriteKubeconfig(kubeconfig, config); err != nil {
		return err
	}
	if err := setIdentity(kubeconfig, key); err != nil {
		return err
	}
	probes, err := process.FreeAddress(ctx)
	if err != nil {
		return err
	}
	ready := process.Answers(http.DefaultClient, "http://"+probes+"/readyz")
	args := []string{"--sts-endpoint=" + d.endpoint, "--service-account-identity", "--leader-elect=false",
		"--metrics-bind-address=0", "--health-probe-bind-address=" + probes}
	say(cyan, "  $ manager %s", strings.Join(args, " "))
	if err := d.plane.Run(ctx, ready, binary, args...); err != nil {
		return err
	}
	say(green, "  ✓ the operator is ready")
	return nil
}

// build builds a program of the repository, and returns its path.
func (d *demo) build(ctx context.Context, name, pkg string) (string, error) {
	say(dim, "  building %s", pkg)
	binary := filepath.Join(d.dir, name)
	build := exec.CommandContext(ctx, "go", "build", "-o", binary, pkg)
	build.Dir = d.root
	build.Cancel = func() error { return build.Process.Signal(os.Interrupt) } // which go passes on to the compiler
	if output, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", pkg, err, output)
	}
	return binary, nil
}

// setIdentity sets the environment that the manager inherits: the emulated RAM user's AccessKey in place of any identity of the
// user's.
func setIdentity(kubeconfig string, key stsemulator.AccessKey) error {
	var errs []error
	for _, variable := range os.Environ() {
		if name, _, _ := strings.Cut(variable, "="); strings.HasPrefix(name, "ALIBABA_CLOUD_") {
			errs = append(errs, os.Unsetenv(name))
		}
	}
	return errors.Join(append(errs, os.Setenv("KUBECONFIG", kubeconfig),
		os.Setenv("ALIBABA_CLOUD_ACCESS_KEY_ID", key.ID), os.Setenv("ALIBABA_CLOUD_ACCESS_KEY_SECRET", key.Secret))...)
}

// explain says what the user can try.
func (d *demo) explain() {
	say(bold, "\nNow yours, until Ctrl-C")
	say("", "  export KUBECONFIG=%s PATH=%s:$PATH\n\n  What to try:", d.plane.Kubeconfig(), d.plane.Assets())
	for _, line := range []string{
		"kubectl get stscred -A -o wide --watch",
		"kubectl delete secret orders-tables -n shop    # comes back at once",
		"kubectl delete -f config/samples/stsrolegrant.yaml    # no further call is made; issued credentials keep working",
		"kubectl get events -n shop",
		"curl -s " + d.admin + "/calls    # the calls to STS",
		"curl -s " + d.admin + `/faults -d '{"kind": "Throttle", "callsPerSecond": 1}'    # make STS fail`,
		"tail -f " + filepath.Join(d.dir, "manager.log"),
	} {
		say(cyan, "  $ %s", line)
	}
}

// The styles of a line on a terminal.
const (
	bold  = "1"
	dim   = "2"
	red   = "31"
	green = "32"
	cyan  = "36"
)

func say(style, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if style != "" && term.IsTerminal(int(os.Stdout.Fd())) && os.Getenv("NO_COLOR") == "" {
		text = "\x1b[" + style + "m" + text + "\x1b[0m"
	}
	fmt.Println(text)
}
