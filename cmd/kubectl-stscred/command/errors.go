// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package command

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
)

// right is a right that the API server says is missing.
type right struct {
	User, Verb string
	Resource   string // with its group, such as stscredentials.sts.alibabacloud.com, and its subresource
	Namespace  string // empty if the right is needed in the whole cluster
}

// String names the right: list secrets in namespace "shop".
func (r right) String() string {
	if r.Namespace == "" {
		return r.Verb + " " + r.Resource + " in the whole cluster"
	}
	return fmt.Sprintf("%s %s in namespace %q", r.Verb, r.Resource, r.Namespace)
}

// refusal is how the API server's authorizer words a refusal.
var refusal = regexp.MustCompile(`User "([^"]*)" cannot (\S+) resource "([^"]+)" in API group "([^"]*)"(?: in the namespace "([^"]+)")?`)

// missingRight returns the right that is missing, if that is the error.
func missingRight(err error) (right, bool) {
	if !apierrors.IsForbidden(err) {
		return right{}, false
	}
	m := refusal.FindStringSubmatch(err.Error())
	if m == nil {
		return right{}, false
	}
	resource, subresource, _ := strings.Cut(m[3], "/")
	if m[4] != "" {
		resource += "." + m[4]
	}
	if subresource != "" {
		resource += "/" + subresource
	}
	return right{User: m[1], Verb: m[2], Resource: resource, Namespace: m[5]}, true
}

// notInstalled reports whether the error says that the cluster does not have the kinds of the operator.
func notInstalled(err error) bool {
	if meta.IsNoMatchError(err) {
		return true
	}
	var status apierrors.APIStatus
	return errors.As(err, &status) && apierrors.IsNotFound(err) && (status.Status().Details == nil || status.Status().Details.Name == "")
}

// describe returns what an error means to the user, in one line with the next step.
func describe(err error) string {
	if r, ok := missingRight(err); ok {
		return fmt.Sprintf("user %q may not %s. Ask for this right", r.User, r)
	}
	switch {
	case errors.Is(err, context.Canceled):
		return "interrupted"
	case apierrors.IsUnauthorized(err):
		return "the API server does not accept the user of this context. Log in again, or choose another context: kubectl config get-contexts"
	case clientcmd.IsEmptyConfig(err):
		return "no cluster is configured. Set KUBECONFIG, or write --kubeconfig FILE"
	case notInstalled(err):
		return "the kinds of " + v1alpha1.GroupVersion.Group + " are not installed in this cluster. " +
			"Install the operator, or choose another context: kubectl config get-contexts"
	case unreachable(err):
		return fmt.Sprintf("cannot reach the API server: %v. Check the context: kubectl config current-context", innermost(err))
	}
	return err.Error()
}

// unreachable reports whether the API server did not answer.
func unreachable(err error) bool {
	var request *url.Error
	var network *net.OpError
	return errors.As(err, &request) || errors.As(err, &network) || errors.Is(err, context.DeadlineExceeded)
}

// innermost returns the cause of a failed request without the address, which may be long, but with its host.
func innermost(err error) error {
	var network *url.Error
	if !errors.As(err, &network) {
		return err
	}
	if address, parseErr := url.Parse(network.URL); parseErr == nil {
		return fmt.Errorf("%s: %w", address.Host, network.Err)
	}
	return network.Err
}
