// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package rollout

import (
	"context"
	"testing"

	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/controllers/stscredential"
	"github.com/stscredential/sts-credential-operator/test/testenv"
)

// All tests share a control plane. api reads and writes past the cache as a cluster admin, cached through the manager's cache.
var (
	cluster *testenv.Cluster
	api     client.WithWatch
	cached  client.Client
)

func TestMain(m *testing.M) {
	testenv.Main(m, testenv.Options{
		Cache:   func() (cache.Options, error) { return stscredential.CacheOptions(nil, labels.Everything()) },
		Indexes: []func(context.Context, client.FieldIndexer) error{stscredential.IndexSecrets, IndexPods},
		Use:     func(c *testenv.Cluster) { cluster, api, cached = c, c.API, c.Cached },
	})
}
