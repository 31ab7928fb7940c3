// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/cmd/kubectl-stscred/doctor"
)

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
