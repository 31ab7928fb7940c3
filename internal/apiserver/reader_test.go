// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"context"
	"errors"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// heldReader answers no Get before it is released, and counts those under way.
type heldReader struct {
	client.Reader
	mu      sync.Mutex
	reading int
	most    int
	entered chan struct{}
	release chan struct{}
}

func (h *heldReader) Get(context.Context, client.ObjectKey, client.Object, ...client.GetOption) error {
	h.mu.Lock()
	h.reading++
	h.most = max(h.most, h.reading)
	h.mu.Unlock()
	h.entered <- struct{}{}
	<-h.release
	h.mu.Lock()
	h.reading--
	h.mu.Unlock()
	return nil
}

// However many workers read large objects past the cache, a bounded number of these is decoded at the same time.
func TestUncachedReadsInParallelAreBounded(t *testing.T) {
	for _, tt := range []struct {
		name   string
		object func() client.Object
		most   int
	}{
		{"Secrets", func() client.Object { return &corev1.Secret{} }, 8},
		{"workloads", func() client.Object { return &unstructured.Unstructured{} }, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			const workers = 32
			held := &heldReader{entered: make(chan struct{}, workers), release: make(chan struct{})}
			reader := BoundReads(held)
			var done sync.WaitGroup
			for range workers {
				done.Go(func() {
					if err := reader.Get(t.Context(), client.ObjectKey{}, tt.object()); err != nil {
						t.Error(err)
					}
				})
			}
			for range tt.most {
				<-held.entered
			}
			canceled, cancel := context.WithCancel(t.Context())
			cancel()
			if err := reader.Get(canceled, client.ObjectKey{}, tt.object()); !errors.Is(err, context.Canceled) {
				t.Errorf("a Get whose context has ended returns %v", err)
			}
			close(held.release)
			done.Wait()
			if held.most != tt.most {
				t.Errorf("%d Gets in parallel, want %d", held.most, tt.most)
			}
		})
	}
}
