// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/hack/controlplane"
)

// The operator's ServiceAccount in config/rbac, as which the manager acts here too.
const (
	operatorNamespace = "sts-system"
	operatorName      = "sts-credential-operator"
)

// startCluster starts a control plane of our own.
func (d *demo) startCluster(ctx context.Context) error {
	d.note("starting a control plane; the first time its programs are fetched or built, which takes minutes")
	dir := filepath.Join(d.dir, "control-plane")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	// A control plane stops when its context ends; but the manager has to be stopped before it.
	life, cancel := context.WithCancel(context.WithoutCancel(ctx))
	unhook := context.AfterFunc(ctx, cancel)
	plane, err := controlplane.Start(life, controlplane.Options{Dir: dir, Progress: d.screen, ControllerManager: true,
		// As on OpenShift: who sets an owner that blocks its deletion needs the right to the owner's finalizers.
		APIServerFlags: []string{"--enable-admission-plugins=OwnerReferencesPermissionEnforcement"}})
	if err != nil {
		cancel()
		return err
	}
	d.cleanup.add("stop the control plane", func(context.Context) error {
		defer cancel()
		return plane.Stop()
	})
	unhook()
	d.ok("a control plane answers at %s", plane.Config().Host)

	d.kubectlPath = filepath.Join(plane.Assets(), "kubectl")
	d.kubeconfig = filepath.Join(d.dir, "kubeconfig")
	if err := plane.WriteKubeconfig(d.kubeconfig); err != nil {
		return err
	}
	if err := d.operatorKubeconfig(plane); err != nil {
		return err
	}
	d.config = plane.Config()
	if d.kube, err = newClient(d.config); err != nil {
		return err
	}
	return d.giveRights(ctx)
}

// operatorKubeconfig writes a kubeconfig of the operator's ServiceAccount, which has the rights that config/rbac gives it.
func (d *demo) operatorKubeconfig(plane *controlplane.ControlPlane) error {
	config, err := plane.UserConfig("system:serviceaccount:"+operatorNamespace+":"+operatorName, "system:serviceaccounts", "system:serviceaccounts:"+operatorNamespace)
	if err != nil {
		return err
	}
	content, err := controlplane.Kubeconfig(config)
	if err != nil {
		return err
	}
	d.managerKubeconfig = filepath.Join(d.dir, "manager.kubeconfig")
	return os.WriteFile(d.managerKubeconfig, content, 0o600)
}

// giveRights gives the manager those rights and fences that an installation would give it, to show that they are enough.
func (d *demo) giveRights(ctx context.Context) error {
	return d.kubectlAll(ctx,
		[]string{"apply", "-f", "config/manager/namespace.yaml"},
		[]string{"apply", "-k", "config/rbac"},
		[]string{"apply", "-k", "config/admission"},
	)
}

func newClient(config *rest.Config) (client.Client, error) {
	scheme := runtime.NewScheme()
	if err := clientgoscheme.AddToScheme(scheme); err != nil {
		return nil, err
	}
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		return nil, err
	}
	return client.New(config, client.Options{Scheme: scheme})
}

// kubectl runs a command as the user would, from the repository's root, and shows it with what it prints.
func (d *demo) kubectl(ctx context.Context, args ...string) error {
	line := shell(append([]string{"kubectl"}, args...)...)
	d.command(line)
	cmd := exec.CommandContext(ctx, d.kubectlPath, args...)
	cmd.Dir = d.root
	cmd.Env = append(os.Environ(), "KUBECONFIG="+d.kubeconfig, "KUBECACHEDIR="+filepath.Join(d.dir, "kubectl-cache"))
	output, err := cmd.CombinedOutput()
	d.output(string(output))
	if err != nil {
		return &surprise{want: line + " succeeds", got: fmt.Sprintf("%v: %s", err, lastLines(string(output), 3))}
	}
	return nil
}

// install applies the CRDs and waits until they are served.
func (d *demo) install(ctx context.Context) error {
	files, err := filepath.Glob(filepath.Join(d.root, "config", "crd", "*_*.yaml"))
	if err != nil {
		return err
	}
	args := []string{"apply"}
	for _, file := range files {
		args = append(args, "-f", "config/crd/"+filepath.Base(file))
	}
	if err := d.kubectl(ctx, args...); err != nil {
		return err
	}
	args = append([]string{"wait", "--for=condition=Established", "--timeout=60s"}, args[1:]...)
	if err := d.kubectl(ctx, args...); err != nil {
		return err
	}
	return eventually(ctx, "both kinds are served", func(ctx context.Context) (string, bool) {
		for _, list := range []client.ObjectList{&v1alpha1.StsCredentialList{}, &v1alpha1.StsRoleGrantList{}} {
			if err := d.kube.List(ctx, list); err != nil {
				return err.Error(), false
			}
		}
		return "", true
	})
}
