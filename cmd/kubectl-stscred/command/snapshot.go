// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package command

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode"

	appsv1 "k8s.io/api/apps/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/cmd/kubectl-stscred/doctor"
	"github.com/stscredential/sts-credential-operator/internal/secret"
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
	g.readGrants(ctx, "which grant allows a role")
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
	g.readGrants(ctx, "which grant allows a role, and grants that match nothing")
	g.readNodes(ctx)
	g.readNamespaces(ctx)
}

func (g gatherer) readGrants(ctx context.Context, consequence string) {
	var grants v1alpha1.StsRoleGrantList
	err := listAll(ctx, g.reader, &grants, func() error {
		for i := range grants.Items {
			grants.Items[i].ManagedFields = nil
			g.Grants = append(g.Grants, grants.Items[i])
		}
		return nil
	})
	if !notInstalledOrNil(err) {
		g.unread("stsrolegrants", consequence, g.AllNamespaces, err)
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

// operatorLabel selects what belongs to an operator.
var operatorLabel = client.MatchingLabels{"app.kubernetes.io/name": "sts-credential-operator"}

// usualNamespace is where the operator is installed by default.
const usualNamespace = "sts-system"

// readOperators reads the Deployments of operators, of all namespaces or, without that right, of the usual one.
func (g gatherer) readOperators(ctx context.Context) {
	g.findOperators(ctx)
	for i := range g.Operators {
		g.readOperator(ctx, &g.Operators[i])
	}
}

// findOperators reads the Deployments of operators, and nothing that belongs to them.
func (g gatherer) findOperators(ctx context.Context) {
	err := g.listOperators(ctx, "")
	if apierrors.IsForbidden(err) {
		if usual := g.listOperators(ctx, usualNamespace); usual == nil {
			err = nil
		}
	}
	g.unread("deployments of the operator", "whether the operator runs, and its settings", g.AllNamespaces, err)
	g.Operators = slices.DeleteFunc(g.Operators, func(d appsv1.Deployment) bool { return !g.isOperator(ctx, &d) })
}

// looksLikeOperator reports whether a Deployment has the label and the container of an operator.
func looksLikeOperator(d *appsv1.Deployment) bool {
	for name, value := range operatorLabel {
		if d.Labels[name] != value {
			return false
		}
	}
	return slices.ContainsFunc(d.Spec.Template.Spec.Containers, isManager)
}

// serviceAccountOf returns the ServiceAccount of the pods of a Deployment.
func serviceAccountOf(d *appsv1.Deployment) string {
	return cmp.Or(d.Spec.Template.Spec.ServiceAccountName, "default")
}

// mayWatchGrants asks the API server whether a ServiceAccount may watch grants, as only an operator's may.
func mayWatchGrants(ctx context.Context, c client.Writer, namespace, account string) (bool, error) {
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User:   "system:serviceaccount:" + namespace + ":" + account,
		Groups: []string{"system:serviceaccounts", "system:serviceaccounts:" + namespace, "system:authenticated"},
		ResourceAttributes: &authorizationv1.ResourceAttributes{
			Verb: "watch", Group: v1alpha1.GroupVersion.Group, Version: v1alpha1.GroupVersion.Version, Resource: "stsrolegrants",
		},
	}}
	err := c.Create(ctx, review)
	return err == nil && review.Status.Allowed, err
}

func isManager(c corev1.Container) bool { return c.Name == doctor.ManagerContainer }

func (g gatherer) listOperators(ctx context.Context, namespace string) error {
	var list appsv1.DeploymentList
	return listAll(ctx, g.reader, &list, func() error {
		for i := range list.Items {
			if slices.ContainsFunc(list.Items[i].Spec.Template.Spec.Containers, isManager) {
				list.Items[i].ManagedFields = nil
				maskPodSpec(&list.Items[i].Spec.Template.Spec)
				g.Operators = append(g.Operators, list.Items[i])
			}
		}
		return nil
	}, client.InNamespace(namespace), operatorLabel)
}

// isOperator reports whether the ServiceAccount of a Deployment may watch grants, as only an operator's may. Users of a namespace
// can create a Deployment that looks like an operator, and fixes would give it rights and AccessKeys. A user who may not ask for
// the rights of others sees the operator of the usual namespace only.
func (g gatherer) isOperator(ctx context.Context, d *appsv1.Deployment) bool {
	name := fmt.Sprintf("deployment %q in namespace %q", d.Name, d.Namespace)
	switch allowed, err := mayWatchGrants(ctx, g.reader, d.Namespace, serviceAccountOf(d)); {
	case allowed:
		return true
	case err == nil:
		g.unread(name, "whether it is an operator", false, errors.New("its ServiceAccount may not watch StsRoleGrants, so that it is taken for no operator"))
	case d.Namespace == usualNamespace:
		return true
	default:
		g.unread("deployments of the operator", "whether "+name+" is an operator", g.AllNamespaces, err)
	}
	return false
}

// readOperator reads the pods, the Secrets and the lease of an operator.
func (g gatherer) readOperator(ctx context.Context, d *appsv1.Deployment) {
	in := fmt.Sprintf(" in namespace %q", d.Namespace)
	g.readOperatorPods(ctx, d)
	for _, name := range doctor.OperatorSecretNames(d) {
		err := g.readSecret(ctx, d.Namespace, name, g.OperatorSecrets, maskSecret)
		g.unread(fmt.Sprintf("secret %q", name)+in, "the identity of the operator", g.AllNamespaces, err)
	}
	lease := &coordinationv1.Lease{}
	key := client.ObjectKey{Namespace: d.Namespace, Name: doctor.LeaseName(d)}
	switch err := g.reader.Get(ctx, key, lease); {
	case err == nil:
		g.Leases = append(g.Leases, *lease)
	case !apierrors.IsNotFound(err):
		g.unread(fmt.Sprintf("lease %q", key.Name)+in, "whether a replica leads", g.AllNamespaces, err)
	}
}

// readOperatorPods reads the pods of an operator.
func (g gatherer) readOperatorPods(ctx context.Context, d *appsv1.Deployment) {
	var pods corev1.PodList
	in := fmt.Sprintf(" in namespace %q", d.Namespace)
	g.unread("operator's pods"+in, "why the operator does not run", g.AllNamespaces, listAll(ctx, g.reader, &pods, func() error {
		for i := range pods.Items {
			g.OperatorPods = append(g.OperatorPods, *slimPod(&pods.Items[i]))
		}
		return nil
	}, client.InNamespace(d.Namespace), client.MatchingLabels(d.Spec.Selector.MatchLabels)))
}

// Objects are kept without what no check reads, so that memory stays small and no value of a Secret is kept.

func slimCredential(c *v1alpha1.StsCredential) *v1alpha1.StsCredential {
	c.ManagedFields = nil
	return c
}

func slimNode(n *corev1.Node) corev1.Node {
	return corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: n.Name, Labels: n.Labels},
		Spec:       corev1.NodeSpec{ProviderID: n.Spec.ProviderID},
		Status:     corev1.NodeStatus{Conditions: n.Status.Conditions},
	}
}

func slimPod(p *corev1.Pod) *corev1.Pod {
	p = p.DeepCopy() // not the page that the pod came in
	p.ManagedFields = nil
	maskPodSpec(&p.Spec)
	return p
}

// maskPodSpec masks the values of variables that may be secret.
func maskPodSpec(spec *corev1.PodSpec) {
	for _, containers := range [][]corev1.Container{spec.InitContainers, spec.Containers} {
		for i := range containers {
			for j := range containers[i].Env {
				maskVariable(&containers[i].Env[j])
			}
		}
	}
}

func maskVariable(e *corev1.EnvVar) {
	for _, word := range []string{"SECRET", "TOKEN", "PASSWORD", "ACCESS_KEY", "ACCESSKEY"} {
		if strings.Contains(strings.ToUpper(e.Name), word) && !strings.HasSuffix(e.Name, "_FILE") {
			e.Value = string(mask([]byte(e.Value)))
			return
		}
	}
}

// stripSecret keeps the record of a Secret, and the hash of its data.
func stripSecret(s *corev1.Secret) *corev1.Secret {
	immutable := s.Immutable
	_, _ = secret.Strip(s) // changes a Secret in place, and cannot fail
	s.Immutable = immutable
	return s
}

// maskSecret masks the values of a Secret.
func maskSecret(s *corev1.Secret) *corev1.Secret {
	s.ManagedFields = nil
	delete(s.Annotations, corev1.LastAppliedConfigAnnotation)
	for key, value := range s.Data {
		s.Data[key] = mask(value)
	}
	return s
}

// maxMasked is the longest value of which the length is kept.
const maxMasked = 256

// mask replaces the letters and digits of a value by x and other characters by *, except for the prefix that shows what an
// AccessKey ID is. White space stays.
func mask(value []byte) []byte {
	value = value[:min(len(value), maxMasked)]
	masked := bytes.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return r
		case unicode.IsLetter(r), unicode.IsDigit(r):
			return 'x'
		}
		return '*'
	}, value)
	for _, prefix := range []string{"LTAI", "STS."} {
		if bytes.HasPrefix(value, []byte(prefix)) {
			copy(masked, prefix)
		}
	}
	return masked
}
