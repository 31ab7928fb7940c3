// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package command

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/credentials"
	"github.com/stscredential/sts-credential-operator/internal/secret"
)

const (
	// clientQPS and clientBurst limit the requests per second to the API server.
	clientQPS, clientBurst = 50, 100
	// pageSize is the number of objects in one answer of the API server.
	pageSize = 500
)

var scheme = runtime.NewScheme()

func init() {
	utilruntime.Must(clientgoscheme.AddToScheme(scheme))
	utilruntime.Must(v1alpha1.AddToScheme(scheme))
}

// client returns a client with the rights of the user.
func (o *options) client() (client.Client, error) {
	config, err := o.config.ToRESTConfig()
	if err != nil {
		return nil, fmt.Errorf("read the kubeconfig: %w", err)
	}
	if o.isUnconfigured() {
		return nil, clientcmd.ErrEmptyConfig
	}
	return client.New(config, client.Options{Scheme: scheme})
}

// isUnconfigured reports whether neither a kubeconfig, nor a flag, nor the pod that the command runs in names a cluster.
// client-go would try localhost:8080.
func (o *options) isUnconfigured() bool {
	raw, err := o.config.ToRawKubeConfigLoader().RawConfig()
	return err == nil && len(raw.Clusters) == 0 && *o.config.APIServer == "" && o.Getenv("KUBERNETES_SERVICE_HOST") == ""
}

// namespace returns the namespace of the flags or of the current context; empty if all are asked for.
func (o *options) namespace(all bool) (string, error) {
	if all {
		return "", nil
	}
	namespace, _, err := o.config.ToRawKubeConfigLoader().Namespace()
	return namespace, err
}

// listAll lists all objects in pages, and calls add after each with that page in list.
func listAll(ctx context.Context, c client.Reader, list client.ObjectList, add func() error, opts ...client.ListOption) error {
	for next := ""; ; {
		if err := c.List(ctx, list, append([]client.ListOption{client.Limit(pageSize), client.Continue(next)}, opts...)...); err != nil {
			return err
		}
		if err := add(); err != nil {
			return err
		}
		if next = list.GetContinue(); next == "" {
			return nil
		}
	}
}

// issuedCredentials are the credentials of an StsCredential, from its Secret.
type issuedCredentials struct {
	credentials.Credentials

	credential types.NamespacedName
	secretName string
}

// issued reads the credentials of an StsCredential: it gets the StsCredential and the Secret, no more. Its errors contain no
// value of the Secret.
func (o *options) issued(ctx context.Context, name string) (*issuedCredentials, error) {
	p := o.progress("Reading the credentials")
	defer p.stop()
	c, err := o.credential(ctx, name)
	if err != nil {
		return nil, err
	}
	reader, err := o.client()
	if err != nil {
		return nil, err
	}
	i := &issuedCredentials{credential: types.NamespacedName{Namespace: c.Namespace, Name: name}, secretName: c.SecretName()}
	s := &corev1.Secret{}
	if err := reader.Get(ctx, types.NamespacedName{Namespace: c.Namespace, Name: i.secretName}, s); err != nil {
		if apierrors.IsNotFound(err) {
			return nil, i.errorf("Secret %q does not exist", i.secretName)
		}
		return nil, err
	}
	i.Credentials, err = secret.Credentials(s, c)
	switch {
	case errors.Is(err, secret.ErrNotWritten), errors.Is(err, secret.ErrEdited):
		return nil, i.errorf("Secret %q cannot be used: %w", i.secretName, err)
	case err != nil:
		return nil, fmt.Errorf("read Secret %q: %w", i.secretName, err)
	}
	return i, nil
}

// errorf returns an error that leads to the command that explains the state of the StsCredential.
func (i *issuedCredentials) errorf(format string, arguments ...any) error {
	return fmt.Errorf("%w. See: kubectl stscred status -n %s %s", fmt.Errorf(format, arguments...), i.credential.Namespace, i.credential.Name)
}

// renewCommand is the command that replaces the credentials.
func (i *issuedCredentials) renewCommand() string {
	return fmt.Sprintf("kubectl stscred renew -n %s %s --wait", i.credential.Namespace, i.credential.Name)
}
