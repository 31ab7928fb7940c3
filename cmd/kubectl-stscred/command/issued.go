// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package command

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"github.com/stscredential/sts-credential-operator/internal/credentials"
	"github.com/stscredential/sts-credential-operator/internal/secret"
)

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
