// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package testenv

import (
	"context"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/internal/secret"
)

// Tests step the operator's clock, but cannot step the API server's. So the time at which the API server stored credentials,
// which the managed fields record, is replaced by the operator's time, plus a skew that the test sets for its namespace.

// serverSkews are time.Durations by namespace. A namespace with serverTime keeps the API server's times.
var serverSkews sync.Map

const serverTime time.Duration = -1 << 63

// setWriteTime replaces the time of the write in a whole Secret, and leaves other objects as they are.
func setWriteTime(o any) any {
	s, isSecret := o.(*corev1.Secret)
	if !isSecret {
		return o
	}
	skew, _ := serverSkews.LoadOrStore(s.Namespace, time.Duration(0))
	written, err := time.Parse(time.RFC3339, s.Annotations["sts.alibabacloud.com/written-at"])
	if err != nil || skew == serverTime {
		return o
	}
	for i := range s.ManagedFields {
		if s.ManagedFields[i].Manager == secret.CredentialsManager {
			s.ManagedFields[i].Time = &metav1.Time{Time: written.Add(skew.(time.Duration))}
		}
	}
	return o
}

// steppedClient returns Secrets with the replaced time of the write.
type steppedClient struct{ client.Client }

func (c steppedClient) Create(ctx context.Context, o client.Object, opts ...client.CreateOption) error {
	defer setWriteTime(o)
	return c.Client.Create(ctx, o, opts...)
}

func (c steppedClient) Patch(ctx context.Context, o client.Object, p client.Patch, opts ...client.PatchOption) error {
	defer setWriteTime(o)
	return c.Client.Patch(ctx, o, p, opts...)
}

type steppedReader struct{ client.Reader }

func (r steppedReader) Get(ctx context.Context, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
	defer setWriteTime(o)
	return r.Reader.Get(ctx, key, o, opts...)
}

// APIReader reads past the cache, and returns Secrets with the replaced time of the write.
func (c *Cluster) APIReader() client.Reader { return steppedReader{c.API} }
