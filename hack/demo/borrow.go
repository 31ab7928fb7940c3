// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/hack/controlplane"
)

// borrowCluster uses the cluster of a context of the user's kubeconfig, if the user agrees and nothing there is in the
// way, and has what the demo makes there removed at its end. The manager acts as the user.
func (d *demo) borrowCluster(ctx context.Context) error {
	if !d.yes && !isTerminal(os.Stdin) {
		return fmt.Errorf("%s=%s, but nobody can be asked on a terminal: add --yes if the demo may use that cluster", contextVariable, d.context)
	}
	if err := d.extractContext(); err != nil {
		return err
	}
	config, err := clientcmd.BuildConfigFromFlags("", d.kubeconfig)
	if err != nil {
		return err
	}
	d.config = config
	if d.kube, err = newClient(config); err != nil {
		return err
	}
	if err := d.checkVacant(ctx); err != nil {
		return err
	}
	if err := d.askLeave(config.Host); err != nil {
		return err
	}
	if err := d.findKubectl(ctx); err != nil {
		return err
	}
	// Namespaces and grants go while the manager runs, the kinds after it: cleanup runs backwards.
	d.cleanup.add("remove the CRDs", func(ctx context.Context) error { return d.remove(ctx, customResources()...) })
	return nil
}

// extractContext writes a kubeconfig that holds the context alone, so that nothing can go to another cluster.
func (d *demo) extractContext() error {
	all, err := clientcmd.NewDefaultClientConfigLoadingRules().Load()
	if err != nil {
		return err
	}
	if all.Contexts[d.context] == nil {
		return fmt.Errorf("no context %q in the kubeconfig: choose from %s",
			d.context, strings.Join(slices.Sorted(maps.Keys(all.Contexts)), ", "))
	}
	all.CurrentContext = d.context
	if err := clientcmdapi.MinifyConfig(all); err != nil {
		return err
	}
	d.kubeconfig = filepath.Join(d.dir, "kubeconfig")
	d.managerKubeconfig = d.kubeconfig
	return clientcmd.WriteToFile(*all, d.kubeconfig)
}

// checkVacant refuses a cluster that holds what the demo would make: it could be somebody's, and an operator that runs
// there would answer in our manager's place.
func (d *demo) checkVacant(ctx context.Context) error {
	for _, object := range append(customResources(), shop()) {
		switch err := d.kube.Get(ctx, client.ObjectKeyFromObject(object), object); {
		case err == nil:
			return fmt.Errorf("%s %s is in that cluster already, and the demo touches nothing that is not its own: remove it, or choose another cluster",
				object.GetObjectKind().GroupVersionKind().Kind, object.GetName())
		case !apierrors.IsNotFound(err):
			return err
		}
	}
	return nil
}

// askLeave says what would be done and asks whether it may.
func (d *demo) askLeave(host string) error {
	d.say("  Context %s (%s) would get, until the end of the demo:", d.context, host)
	for _, object := range customResources() {
		d.say("  - CustomResourceDefinition %s", object.GetName())
	}
	d.say("  - Namespace %s, with StsCredentials and their Secrets (of an emulated STS)", namespace)
	d.say("  - StsRoleGrant shop")
	d.say("  The operator runs on this machine, as you.")
	if d.yes {
		return nil
	}
	return confirm(os.Stdin, d.out, "  Go on?")
}

// findKubectl takes the user's own kubectl, as it fits their cluster.
func (d *demo) findKubectl(ctx context.Context) error {
	if found, err := exec.LookPath("kubectl"); err == nil {
		d.kubectlPath = found
		return nil
	}
	assets, err := controlplane.Assets(ctx, d.screen)
	d.kubectlPath = filepath.Join(assets, "kubectl")
	return err
}

// remove deletes objects and waits until they are gone.
func (d *demo) remove(ctx context.Context, objects ...client.Object) error {
	var errs []error
	for _, object := range objects {
		errs = append(errs, client.IgnoreNotFound(d.kube.Delete(ctx, object)))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	for _, object := range objects {
		errs = append(errs, d.gone(ctx, object))
	}
	return errors.Join(errs...)
}

func customResources() []client.Object {
	var objects []client.Object
	for _, plural := range []string{"stscredentials", "stsrolegrants"} {
		object := &unstructured.Unstructured{}
		object.SetName(plural + ".sts.alibabacloud.com")
		object.SetGroupVersionKind(schema.GroupVersionKind{Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinition"})
		objects = append(objects, object)
	}
	return objects
}

func shop() *corev1.Namespace {
	return &corev1.Namespace{
		TypeMeta:   metav1.TypeMeta{Kind: "Namespace", APIVersion: "v1"},
		ObjectMeta: metav1.ObjectMeta{Name: namespace},
	}
}
