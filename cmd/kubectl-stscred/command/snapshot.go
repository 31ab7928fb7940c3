// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package command

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/cmd/kubectl-stscred/doctor"
)

// scope is what doctor looks at.
type scope struct {
	namespace string // empty for all
	name      string // of one StsCredential; empty for all of the namespace
}

// String names the scope.
func (s scope) String() string {
	if s.namespace == "" {
		return "all namespaces"
	}
	return "namespace " + s.namespace
}

// gatherer reads a Snapshot.
type gatherer struct {
	reader client.Client
	scope  scope
	*doctor.Snapshot
}

// gather reads what the checks need, with the rights of the user. What is forbidden or not installed becomes an Unread. The error
// says that the API server cannot be reached, or that the StsCredential does not exist.
func (o *options) gather(ctx context.Context, s scope) (*doctor.Snapshot, error) {
	g, err := o.newGatherer(s)
	if err != nil {
		return nil, err
	}
	p := o.progress("Reading %s", s)
	defer p.stop()
	if g.LocalTime, g.ServerTime, err = o.times(ctx); err != nil {
		return nil, err
	}
	if err := g.readCredentials(ctx); err != nil {
		return nil, err
	}
	p.update("Reading the operator")
	g.readCRDs(ctx)
	g.readOperators(ctx)
	g.readCluster(ctx)
	for namespace, credentials := range g.byNamespace() {
		p.update("Reading namespace %s", namespace)
		g.readNamespace(ctx, namespace, credentials)
	}
	return g.Snapshot, ctx.Err()
}

// gatherOne reads what the checks of one StsCredential need that are not about the cluster or the operator.
func (o *options) gatherOne(ctx context.Context, c *v1alpha1.StsCredential) (*doctor.Snapshot, error) {
	g, err := o.newGatherer(scope{namespace: c.Namespace, name: c.Name})
	if err != nil {
		return nil, err
	}
	p := o.progress("Reading what %s needs", c.Name)
	defer p.stop()
	g.LocalTime = o.Clock.Now()
	g.Credentials = append(g.Credentials, *slimCredential(c))
	g.readGrants(ctx)
	g.readNamespacesOfCredentials(ctx)
	g.readSecretsAndPods(ctx, c.Namespace, []*v1alpha1.StsCredential{c})
	return g.Snapshot, ctx.Err()
}

func (o *options) newGatherer(s scope) (gatherer, error) {
	reader, err := o.client()
	return gatherer{reader: reader, scope: s, Snapshot: &doctor.Snapshot{
		PluginVersion: o.Version, AllNamespaces: s.namespace == "", CRDs: map[string]*unstructured.Unstructured{},
		OperatorSecrets: map[types.NamespacedName]*corev1.Secret{}, Namespaces: map[string]*corev1.Namespace{},
		Secrets: map[types.NamespacedName]*corev1.Secret{}, Workloads: map[string]*unstructured.Unstructured{},
	}}, err
}

// times returns the time of this machine in the middle of a request, and the API server's in its answer.
func (o *options) times(ctx context.Context) (local, server time.Time, err error) {
	config, err := o.config.ToRESTConfig()
	if err != nil {
		return local, server, err
	}
	httpClient, err := rest.HTTPClientFor(config)
	if err != nil {
		return local, server, err
	}
	base, _, err := rest.DefaultServerUrlFor(config)
	if err != nil {
		return local, server, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, base.JoinPath("version").String(), http.NoBody)
	if err != nil {
		return local, server, err
	}
	before := o.Clock.Now()
	response, err := httpClient.Do(request)
	if err != nil {
		return local, server, err
	}
	_ = response.Body.Close()
	local = before.Add(o.Clock.Since(before) / 2)
	server, _ = http.ParseTime(response.Header.Get("Date"))
	return local, server, nil
}

// unread records what could not be read. Errors of the connection are recorded too: a later request may succeed.
func (g gatherer) unread(resource, consequence string, requested bool, err error) {
	if err != nil {
		g.Unread = append(g.Unread, doctor.Unread{Resource: resource, Reason: describe(err), Consequence: consequence, Requested: requested})
	}
}

// readCredentials reads the StsCredentials of the scope.
func (g gatherer) readCredentials(ctx context.Context) error {
	if g.scope.name != "" {
		c, key := v1alpha1.StsCredential{}, client.ObjectKey{Namespace: g.scope.namespace, Name: g.scope.name}
		err := g.reader.Get(ctx, key, &c)
		switch {
		case err == nil:
			g.Credentials = append(g.Credentials, *slimCredential(&c))
		case apierrors.IsNotFound(err) && !notInstalled(err):
			return explainNotFound(err, key)
		case !notInstalled(err):
			g.unread(fmt.Sprintf("stscredential %q in namespace %q", key.Name, key.Namespace), "all about the StsCredential", true, err)
		}
		return nil
	}
	var list v1alpha1.StsCredentialList
	err := listAll(ctx, g.reader, &list, func() error {
		for i := range list.Items {
			g.Credentials = append(g.Credentials, *slimCredential(&list.Items[i]))
		}
		return nil
	}, client.InNamespace(g.scope.namespace))
	if err != nil && !notInstalled(err) {
		g.unread("stscredentials in "+g.scope.String(), "all about StsCredentials", true, err)
	}
	return nil
}

// readCRDs reads the CustomResourceDefinitions. Whether the kinds are served is known without the right to read them.
func (g gatherer) readCRDs(ctx context.Context) {
	for _, kind := range []struct{ crd, list string }{
		{"stscredentials." + v1alpha1.GroupVersion.Group, "StsCredential"}, {"stsrolegrants." + v1alpha1.GroupVersion.Group, "StsRoleGrant"},
	} {
		crd := &unstructured.Unstructured{}
		crd.SetAPIVersion("apiextensions.k8s.io/v1")
		crd.SetKind("CustomResourceDefinition")
		err := g.reader.Get(ctx, client.ObjectKey{Name: kind.crd}, crd)
		switch {
		case err == nil:
			crd.SetManagedFields(nil)
			g.CRDs[kind.crd] = crd
		case apierrors.IsNotFound(err):
			g.CRDs[kind.crd] = nil
		default:
			if probe := g.probe(ctx, kind.list); meta.IsNoMatchError(probe) {
				g.CRDs[kind.crd] = nil
				continue
			}
			g.unread("customresourcedefinition "+kind.crd, "whether the CRD is of the plugin's version", g.AllNamespaces, err)
		}
	}
}

// probe returns an error that says whether a kind is served.
func (g gatherer) probe(ctx context.Context, kind string) error {
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(kind + "List"))
	return g.reader.List(ctx, list, client.Limit(1))
}

// readCluster reads grants, namespaces and nodes.
func (g gatherer) readCluster(ctx context.Context) {
	g.readGrants(ctx)
	g.readNodes(ctx)
	g.readNamespaces(ctx)
}

func (g gatherer) readGrants(ctx context.Context) {
	var grants v1alpha1.StsRoleGrantList
	err := listAll(ctx, g.reader, &grants, func() error {
		for i := range grants.Items {
			grants.Items[i].ManagedFields = nil
			g.Grants = append(g.Grants, grants.Items[i])
		}
		return nil
	})
	if !notInstalledOrNil(err) {
		g.unread("stsrolegrants", "which grant allows a role, and grants that match nothing", g.AllNamespaces, err)
	}
}

// readNodes reads the nodes and the leases that they renew.
func (g gatherer) readNodes(ctx context.Context) {
	var nodes corev1.NodeList
	g.unread("nodes", "the region of the STS endpoint", g.AllNamespaces, listAll(ctx, g.reader, &nodes, func() error {
		for i := range nodes.Items {
			g.Nodes = append(g.Nodes, slimNode(&nodes.Items[i]))
		}
		return nil
	}))
	var leases coordinationv1.LeaseList
	g.unread("leases in namespace kube-node-lease", "the clocks of the nodes", false, listAll(ctx, g.reader, &leases, func() error {
		for i := range leases.Items {
			leases.Items[i].ManagedFields = nil
			g.NodeLeases = append(g.NodeLeases, leases.Items[i])
		}
		return nil
	}, client.InNamespace(corev1.NamespaceNodeLease)))
}

func notInstalledOrNil(err error) bool { return err == nil || notInstalled(err) }

// readNamespaces reads all namespaces, or those of the StsCredentials.
func (g gatherer) readNamespaces(ctx context.Context) {
	var list corev1.NamespaceList
	err := listAll(ctx, g.reader, &list, func() error {
		for i := range list.Items {
			list.Items[i].ManagedFields = nil
			g.Namespaces[list.Items[i].Name] = list.Items[i].DeepCopy()
		}
		return nil
	})
	if err == nil {
		return
	}
	if g.AllNamespaces {
		g.unread("namespaces", "grants that match no namespace", true, err)
	}
	g.readNamespacesOfCredentials(ctx)
}

func (g gatherer) readNamespacesOfCredentials(ctx context.Context) {
	for name := range g.byNamespace() {
		namespace := &corev1.Namespace{}
		if err := g.reader.Get(ctx, client.ObjectKey{Name: name}, namespace); err != nil {
			g.unread(fmt.Sprintf("namespace %q", name), "grants that select namespaces by label", false, err)
			continue
		}
		g.Namespaces[name] = namespace
	}
}

// byNamespace returns the StsCredentials by namespace.
func (g gatherer) byNamespace() map[string][]*v1alpha1.StsCredential {
	found := map[string][]*v1alpha1.StsCredential{}
	for i := range g.Credentials {
		c := &g.Credentials[i]
		found[c.Namespace] = append(found[c.Namespace], c)
	}
	return found
}

// readNamespace reads what the StsCredentials of one namespace refer to.
func (g gatherer) readNamespace(ctx context.Context, namespace string, credentials []*v1alpha1.StsCredential) {
	g.readSecretsAndPods(ctx, namespace, credentials)
	in := fmt.Sprintf(" in namespace %q", namespace)
	var quotas corev1.ResourceQuotaList
	g.unread("resourcequotas"+in, "which quota prevents a Secret", false, listAll(ctx, g.reader, &quotas, func() error {
		g.Quotas = append(g.Quotas, quotas.Items...)
		return nil
	}, client.InNamespace(namespace)))
	g.unread("workloads of spec.rollout"+in, "whether they can be restarted", false, g.readWorkloads(ctx, credentials))
}

// readSecretsAndPods reads the Secrets that the StsCredentials of one namespace refer to, and its pods.
func (g gatherer) readSecretsAndPods(ctx context.Context, namespace string, credentials []*v1alpha1.StsCredential) {
	in := fmt.Sprintf(" in namespace %q", namespace)
	g.unread("secrets"+in, "what the Secrets hold", true, g.readSecrets(ctx, credentials))
	var pods corev1.PodList
	g.unread("pods"+in, "which pods read the Secrets", true, listAll(ctx, g.reader, &pods, func() error {
		for i := range pods.Items {
			g.Pods = append(g.Pods, *slimPod(&pods.Items[i]))
		}
		return nil
	}, client.InNamespace(namespace)))
}

// readSecrets reads the Secrets that StsCredentials write, and those with their AccessKeys, without values.
func (g gatherer) readSecrets(ctx context.Context, credentials []*v1alpha1.StsCredential) error {
	for _, c := range credentials {
		if err := g.readSecret(ctx, c.Namespace, c.SecretName(), g.Secrets, stripSecret); err != nil {
			return err
		}
	}
	for _, c := range credentials {
		if c.Spec.Identity == nil || c.Spec.Identity.AccessKey == nil {
			continue
		}
		if err := g.readSecret(ctx, c.Namespace, c.Spec.Identity.AccessKey.SecretName, g.Secrets, maskSecret); err != nil {
			return err
		}
	}
	return nil
}

// readSecret reads one Secret, and keeps what strip leaves of it.
func (g gatherer) readSecret(
	ctx context.Context, namespace, name string, into map[types.NamespacedName]*corev1.Secret, strip func(*corev1.Secret) *corev1.Secret,
) error {
	key, secret := types.NamespacedName{Namespace: namespace, Name: name}, &corev1.Secret{}
	err := g.reader.Get(ctx, key, secret)
	switch {
	case apierrors.IsNotFound(err):
		into[key] = nil
	case err != nil:
		return err
	default:
		into[key] = strip(secret)
	}
	return nil
}

// groupVersions are those of the kinds of spec.rollout.targets.
var groupVersions = map[string]string{
	"Deployment": "apps/v1", "StatefulSet": "apps/v1", "DaemonSet": "apps/v1",
	"Rollout": "argoproj.io/v1alpha1", "CloneSet": "apps.kruise.io/v1alpha1",
}

// readWorkloads reads the targets of spec.rollout. Those whose kind is not installed do not exist.
func (g gatherer) readWorkloads(ctx context.Context, credentials []*v1alpha1.StsCredential) error {
	var failed error
	for _, c := range credentials {
		for _, target := range c.Spec.Rollout.Targets {
			workload := &unstructured.Unstructured{}
			workload.SetAPIVersion(groupVersions[target.Kind])
			workload.SetKind(target.Kind)
			key := target.Kind + "/" + c.Namespace + "/" + target.Name
			err := g.reader.Get(ctx, client.ObjectKey{Namespace: c.Namespace, Name: target.Name}, workload)
			switch {
			case err == nil:
				workload.SetManagedFields(nil)
				g.Workloads[key] = workload
			case apierrors.IsNotFound(err), meta.IsNoMatchError(err):
				g.Workloads[key] = nil
			default:
				failed = errors.Join(failed, err)
			}
		}
	}
	return failed
}
