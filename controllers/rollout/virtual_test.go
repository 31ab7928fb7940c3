// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package rollout

import (
	"context"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/internal/secret"
)

// Tests step the operator's clock, and cannot step that of the API server. So the time at which the API server stored
// credentials, as it notes it in the managed fields, is replaced by that of a clock that the test steps: the operator's,
// and as far ahead of it as the test has set for its namespace.

// apiSkews are time.Durations by namespace; a namespace with realTime keeps the API server's times.
var apiSkews sync.Map

const realTime time.Duration = -1 << 63

// virtual puts the virtual time of the write into a whole Secret.
func virtual(o any) any {
	s, isSecret := o.(*corev1.Secret)
	if !isSecret {
		return o
	}
	skew, _ := apiSkews.LoadOrStore(s.Namespace, time.Duration(0))
	written, err := time.Parse(time.RFC3339, s.Annotations["sts.alibabacloud.com/written-at"])
	if err != nil || skew == realTime {
		return o
	}
	for i := range s.ManagedFields {
		if s.ManagedFields[i].Manager == secret.CredentialsManager {
			s.ManagedFields[i].Time = &metav1.Time{Time: written.Add(skew.(time.Duration))}
		}
	}
	return o
}

// virtualClient returns Secrets with the virtual time of the write.
type virtualClient struct{ client.Client }

func (c virtualClient) Create(ctx context.Context, o client.Object, opts ...client.CreateOption) error {
	defer virtual(o)
	return c.Client.Create(ctx, o, opts...)
}

func (c virtualClient) Patch(ctx context.Context, o client.Object, p client.Patch, opts ...client.PatchOption) error {
	defer virtual(o)
	return c.Client.Patch(ctx, o, p, opts...)
}

// virtualReader reads Secrets past the cache with the virtual time of the write.
type virtualReader struct{ client.Reader }

func (r virtualReader) Get(ctx context.Context, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
	defer virtual(o)
	return r.Reader.Get(ctx, key, o, opts...)
}
